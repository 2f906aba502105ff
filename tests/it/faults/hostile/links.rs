//! Symbolic links that lead out of the root: there from the beginning, or put there while a command runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use super::child::{Scene, plan, step};
use crate::faults::choice::Choice;
use crate::faults::tally::Tally;

/// Each kind that writes files of the root, and the folder of it that becomes a link.
fn writers() -> Vec<(&'static str, &'static str, String)> {
    let alone = |layer: &str, rest: &str| plan(layer, &step("s", rest));
    vec![
        (
            "file.archive",
            "old",
            alone("integration", "use = \"file.archive\"\nwith = { files = [\"many/*\"], into = \"old\" }"),
        ),
        (
            "file.archive-from",
            "many",
            alone("integration", "use = \"file.archive\"\nwith = { files = [\"many/*\"], into = \"old\" }"),
        ),
        (
            "config.map",
            "new",
            alone(
                "integration",
                "use = \"config.map\"\nwith = { from = \"s.json\", to = \"new/s.json\", keep = [\"a\"] }",
            ),
        ),
        (
            "target.snapshot",
            "kept",
            alone("storage", "use = \"target.snapshot\"\nwith = { targets = [\"app\"], into = \"kept/x\" }"),
        ),
        (
            "target.assess",
            "kept",
            alone("storage", "use = \"target.assess\"\nwith = { targets = [\"app\"], into = \"kept\" }"),
        ),
        (
            "sqlite.export",
            "kept",
            alone("storage", "use = \"sqlite.export\"\ntarget = \"app\"\nwith = { into = \"kept/app.sql\" }"),
        ),
        (
            "state",
            ".cutover",
            alone("storage", "use = \"sqlite.tables\"\ntarget = \"app\"\nwith = { create = [\"CREATE TABLE t (a)\"] }"),
        ),
        (
            "sqlite",
            "db",
            alone("storage", "use = \"sqlite.tables\"\ntarget = \"app\"\nwith = { create = [\"CREATE TABLE t (a)\"] }")
                .replace("app.db", "db/app.db"),
        ),
    ]
}

fn scene(plan: &str) -> Scene {
    let scene = Scene::new(plan);
    for i in 0..40 {
        scene.system.write_root(&format!("many/{i}.log"), "mine");
    }
    fs::create_dir(scene.system.root().join("db")).unwrap();
    fs::copy(scene.system.db(), scene.system.root().join("db/app.db")).unwrap();
    scene
}

#[test]
fn a_link_that_is_there_from_the_beginning_is_not_followed() {
    let choice = Choice::of_environment();
    let mut tally = Tally::default();
    for (kind, folder, plan) in writers() {
        let name = format!("link/{kind}");
        if !choice.allows(&name) {
            continue;
        }
        let scene = scene(&plan);
        let at = scene.system.root().join(folder);
        let _ = fs::remove_dir_all(&at);
        symlink("../around", &at).unwrap();
        for (command, args) in [("plan", &[][..]), ("apply", &[]), ("rollback", &["--to", "start", "--yes"])] {
            scene.meet(&name, command, args, &mut tally);
        }
    }
    for inside in ["journal.db", "lock", "steps", "scratch", "aside", "rehearsals"] {
        let name = format!("link/state/{inside}");
        if !choice.allows(&name) {
            continue;
        }
        let scene = scene(&writers()[2].2);
        fs::create_dir(scene.system.root().join(".cutover")).unwrap();
        symlink("../../around/there", scene.system.root().join(".cutover").join(inside)).unwrap();
        fs::create_dir(scene.system.root().join("../around/there")).unwrap();
        for (command, args) in [("apply", &[][..]), ("rollback", &["--to", "start", "--yes"]), ("rehearse", &[])] {
            scene.meet(&name, command, args, &mut tally);
        }
    }
    tally.end("J", "links that lead out", &choice);
}

#[test]
fn a_folder_that_becomes_a_link_while_a_command_runs_is_not_followed() {
    let choice = Choice::of_environment();
    let mut tally = Tally::default();
    for (kind, folder, plan) in writers() {
        for round in 0..if choice.all() { 100 } else { 3 } {
            let name = format!("swap/{kind}/{round}");
            if !choice.allows(&name) {
                continue;
            }
            let scene = scene(&plan);
            let (at, away) = (scene.system.root().join(folder), scene.system.root().join("away"));
            let _ = fs::create_dir(&at);
            let done = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        // The folder, then a link to another's, then the folder again.
                        if fs::rename(&at, &away).is_ok() {
                            let _ = symlink("../around", &at);
                            std::thread::sleep(std::time::Duration::from_micros(200 * (round % 5 + 1)));
                            let _ = fs::remove_file(&at);
                            let _ = fs::rename(&away, &at);
                        }
                        std::thread::sleep(std::time::Duration::from_micros(300));
                    }
                });
                scene.meet(&name, "apply", &[], &mut tally);
                done.store(true, Ordering::Relaxed);
            });
        }
    }
    tally.end("J", "folders swapped for links", &choice);
}
