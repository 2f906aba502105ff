//! The copy of a rehearsal: no link of it leads into the real root, it can be removed whatever modes it has, and of a
//! folder of the operator's only what a rehearsal made goes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use cutover_tests::{Ran, Tree, run};

use crate::system::System;

/// A plan of one program that stays in the root, by its own word.
fn contained(script: &str) -> String {
    format!(
        "name = \"links\"\n[targets.docs]\nkind = \"dir\"\npath = \"docs\"\n[[phase]]\nname = \"p\"\nlayer = \"storage\"\n\
         [[phase.step]]\nid = \"write\"\nuse = \"command.run\"\n\
         with = {{ apply = [\"sh\", \"-c\", \"{script}\"], rollback = [\"true\"], contained = true }}\n"
    )
}

/// A root that is reached by two names, with that plan.
fn by_two_names(script: &str) -> System {
    let system = System::new("", &contained(script));
    symlink(system.root().parent().unwrap(), system.file("").parent().unwrap().join("alias")).unwrap();
    system.write_root("data.txt", "orig\n");
    system.write_root("docs/page", "page\n");
    system.write_root("deep/er/file", "deep\n");
    system
}

fn whole(system: &System) -> Tree {
    Tree::of(&system.root()).filter(|p| !p.starts_with(".cutover"))
}

fn copy_of(system: &System, path: &str) -> String {
    fs::read_to_string(system.root().join(".cutover/scratch/root").join(path)).unwrap()
}

#[test]
fn no_link_of_the_copy_leads_a_program_to_the_real_root() {
    let links = "for f in alias up chain docs/in docs/up deep/far new; do echo $f >> $f; done";
    let system = by_two_names(links);
    let root = system.root().canonicalize().unwrap();
    let alias = root.parent().unwrap().join("alias/root");
    for (link, end) in [
        ("alias", alias.join("data.txt")),
        ("up", format!("../{}/data.txt", root.file_name().unwrap().display()).into()),
        ("hop", alias.join("deep")),
        ("chain", "hop/er/file".into()),
        ("docs/in", alias.join("docs/page")),
        ("docs/up", "../../root/data.txt".into()),
        ("deep/far", "../../root/./deep/../docs/page".into()),
        // Not there yet.
        ("new", alias.join("deep/new")),
    ] {
        let link = root.join(link);
        let _ = fs::remove_file(&link);
        symlink(end, link).unwrap();
    }
    let before = whole(&system);
    let ran = system.cutover("rehearse", &["--keep"]);
    before.assert_same(&whole(&system), "after a rehearsal");
    // Nothing takes back what it wrote into the target.
    assert_eq!(ran.code, Some(100), "{}", system.seen(&ran));
    for (path, said) in [
        ("data.txt", &["alias", "up", "docs/up"][..]),
        ("docs/page", &["docs/in", "deep/far"]),
        ("deep/er/file", &["chain"]),
        ("deep/new", &["new"]),
    ] {
        let copy = copy_of(&system, path);
        assert!(said.iter().all(|line| copy.contains(line)), "{path}: {copy}");
    }
}

#[test]
fn a_link_from_the_place_of_the_copy_does_not_climb_into_the_real_root() {
    // In the real root it leads nowhere; from the copy's place it would lead to the real file.
    let system = by_two_names("for f in up3; do echo $f >> $f; done; true");
    symlink("../../../data.txt", system.root().join("up3")).unwrap();
    let before = whole(&system);
    let ran = system.cutover("rehearse", &[]);
    before.assert_same(&whole(&system), "after a rehearsal");
    assert!(ran.stdout.contains("lead out of the copy: 1 link"), "{}", system.seen(&ran));
}

#[test]
fn what_a_link_leads_to_outside_of_the_root_is_read_from_a_copy_or_not_at_all_and_is_listed() {
    let system = by_two_names("cat file && echo more >> file; echo x > above/root/data.txt; echo x > folder/f; true");
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("folder")).unwrap();
    fs::write(outside.path().join("file"), "theirs\n").unwrap();
    symlink(system.root(), outside.path().join("folder/back")).unwrap();
    for (link, end) in [("file", outside.path().join("file")), ("folder", outside.path().join("folder"))] {
        symlink(end, system.root().join(link)).unwrap();
    }
    symlink("..", system.root().join("above")).unwrap();
    symlink("/dev/null", system.root().join("null")).unwrap();
    symlink("round", system.root().join("round")).unwrap();
    let before = (whole(&system), Tree::of(outside.path()));
    let ran = system.cutover("rehearse", &["--keep"]);
    before.0.assert_same(&whole(&system), "after a rehearsal");
    before.1.assert_same(&Tree::of(outside.path()), "outside of the root");
    assert_eq!(ran.code, Some(0), "{}", system.seen(&ran));
    for said in ["lead out of the copy: 3 links", "above ", "file ", "folder ", "a copy of `", "not copied"] {
        assert!(ran.stdout.contains(said), "{said}: {}", system.seen(&ran));
    }
    assert_eq!(copy_of(&system, "file"), "theirs\nmore\nmore\n");
    assert_eq!(fs::read_link(system.root().join(".cutover/scratch/root/null")).unwrap(), Path::new("/dev/null"));
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0)
}

/// The same command by nobody, who owns all of the system: no mode holds root back.
fn by_nobody(system: &System, command: &str, args: &[&str]) -> Ran {
    let plain = system.command(command, args);
    if !is_root() {
        return system.cutover(command, args);
    }
    let mut unprivileged = Command::new("setpriv");
    unprivileged.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(plain.get_program());
    run(unprivileged.args(plain.get_args()).env("NO_COLOR", "1").env("USER", "tester").env_remove("FAILPOINTS"))
}

fn give_to_nobody(system: &System) {
    let all = system.root().parent().unwrap().to_owned();
    if is_root() {
        assert!(Command::new("chown").args(["-R", "65534:65534"]).arg(all).status().unwrap().success());
    }
}

#[test]
fn a_copy_with_folders_that_cannot_be_written_is_removed_by_the_rehearsal_and_by_prune() {
    let system = by_two_names("mkdir -p made/closed && touch made/closed/f && chmod 0 made/closed");
    system.write_root("frozen/deep/f", "f");
    for folder in ["frozen/deep", "frozen"] {
        fs::set_permissions(system.root().join(folder), fs::Permissions::from_mode(0o555)).unwrap();
    }
    system.write_root("kept", "kept");
    symlink(system.root().join("docs"), system.root().join("frozen-link")).unwrap();
    give_to_nobody(&system);
    let scratch = system.root().join(".cutover/scratch");
    let before = whole(&system);
    for keep in [&[][..], &["--keep"]] {
        let ran = by_nobody(&system, "rehearse", keep);
        assert!(ran.stdout.contains("compar"), "{}", system.seen(&ran));
        assert_eq!(scratch.exists(), !keep.is_empty(), "{}", system.seen(&ran));
    }
    before.assert_same(&whole(&system), "after a rehearsal");
    let mode = |path: &str| fs::metadata(scratch.join("root").join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("frozen/deep"), 0o555, "the copy has the modes of the system");
    let ran = by_nobody(&system, "prune", &["--yes", "--keep", "0"]);
    assert_eq!(ran.code, Some(0), "{}", system.seen(&ran));
    assert!(!scratch.exists() && fs::read_to_string(system.root().join("docs/page")).unwrap() == "page\n");
}

#[test]
fn a_copy_that_cannot_be_removed_is_said_to_be_there() {
    let system = by_two_names("chmod 555 ..");
    give_to_nobody(&system);
    let ran = by_nobody(&system, "rehearse", &[]);
    assert!(ran.stdout.contains("cannot be removed") && ran.stdout.contains("cutover prune"), "{}", system.seen(&ran));
    let ran = by_nobody(&system, "prune", &["--yes", "--keep", "0"]);
    assert_eq!(ran.code, Some(0), "{}", system.seen(&ran));
    assert!(!system.root().join(".cutover/scratch").exists());
}

#[test]
fn of_a_folder_of_the_operators_only_what_the_rehearsal_made_goes() {
    let system = by_two_names("true");
    let own = tempfile::tempdir().unwrap();
    let place = own.path().display().to_string();
    let scratch = ["--scratch", place.as_str()];
    system.cutover("rehearse", &scratch).expect_code(0);
    assert_eq!(fs::read_dir(own.path()).unwrap().count(), 0, "it is there, and empty as it was");
    // A kept copy is not thrown away, nor what somebody put beside it.
    system.cutover("rehearse", &[&scratch[..], &["--keep"]].concat()).expect_code(0);
    fs::write(own.path().join("mine.txt"), "mine").unwrap();
    let refused = system.cutover("rehearse", &scratch).expect_code(2).stderr;
    assert!(refused.contains("kept") && refused.contains("--scratch DIR"), "{refused}");
    assert!(own.path().join("mine.txt").exists() && own.path().join("root/data.txt").exists());
    // One that was killed leaves nothing that anybody wants, and takes nothing that is not its own.
    let killed = tempfile::tempdir().unwrap();
    let place = killed.path().display().to_string();
    let mut command = system.command("rehearse", &["--scratch", &place]);
    run(command.env("FAILPOINTS", "rehearsal.copied=return"));
    fs::create_dir_all(killed.path().join("root")).unwrap();
    fs::write(killed.path().join("mine.txt"), "mine").unwrap();
    fs::write(killed.path().join(".cutover-scratch"), "{}").unwrap();
    let refused = system.cutover("rehearse", &["--scratch", &place]).expect_code(2).stderr;
    assert!(refused.contains("`mine.txt`"), "{refused}");
    fs::remove_file(killed.path().join("mine.txt")).unwrap();
    system.cutover("rehearse", &["--scratch", &place]).expect_code(0);
    assert_eq!(fs::read_dir(killed.path()).unwrap().count(), 0);
}

#[test]
fn a_kept_copy_in_the_state_folder_stays_until_prune_is_asked() {
    let system = by_two_names("true");
    system.cutover("rehearse", &["--keep"]).expect_code(0);
    let refused = system.cutover("rehearse", &[]).expect_code(2).stderr;
    assert!(refused.contains("cutover prune") && refused.contains("--scratch DIR"), "{refused}");
    assert_eq!(copy_of(&system, "data.txt"), "orig\n");
    system.cutover("prune", &["--yes"]).expect_code(0);
    system.cutover("rehearse", &[]).expect_code(0);
    assert!(!system.root().join(".cutover/scratch").exists());
}

#[test]
fn a_scratch_folder_that_is_a_file_or_a_link_is_said_to_be_that() {
    let system = by_two_names("true");
    let own = tempfile::tempdir().unwrap();
    symlink("nowhere", own.path().join("link")).unwrap();
    fs::write(own.path().join("file"), "").unwrap();
    for (name, said) in [("link", "is a symbolic link"), ("file", "no folder")] {
        let place = own.path().join(name).display().to_string();
        let refused = system.cutover("rehearse", &["--scratch", &place]).expect_code(2).stderr;
        assert!(refused.contains(said) && !refused.contains("under way"), "{refused}");
    }
}
