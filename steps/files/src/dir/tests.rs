//! A folder is what its files are.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use cutover_core::{Depth, RestoreOptions, TargetKind, TargetSpec};
use cutover_tests::{Bench, Fixture, Tree};
use pollster::block_on;

use super::*;

const PLAN: &str = r#"
name = "p"
[targets.brain]
kind = "dir"
path = "brain"
with = { include = ["*.json", "docs"], exclude = ["docs/cache"] }
[[phase]]
name = "x"
layer = "storage"
[[phase.step]]
id = "x"
use = "file.archive"
with = { files = ["none"], into = "aside" }
"#;

fn brain(root: &Path) -> Bench {
    for (path, text) in [
        ("a.json", "{}"),
        ("docs/deep/b.md", "# b"),
        ("docs/cache/c", "no"),
        ("no.txt", "no"),
        (".cutover/journal.db", "no"),
        ("docs/.x.cutover-lock", "no"),
    ] {
        let full = root.join("brain").join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, text).unwrap();
    }
    symlink("/nowhere", root.join("brain/docs/link")).unwrap();
    Fixture::new(PLAN).open(root)
}

#[test]
fn only_included_files_count_and_links_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let bench = brain(dir.path());
    let (target, cx) = (bench.target("brain"), bench.plan_cx());
    let found = block_on(target.assess(&cx)).unwrap();
    assert_eq!((found.bytes, found.counts.values().sum::<u64>()), (5, 3));
    assert_eq!(found.problems, ["the link `docs/link` leads nowhere"]);
    assert_eq!(block_on(target.measure(&cx, "docs/**/*.md")).unwrap(), 1.0);
    assert!(block_on(target.holds(&cx, "file:docs/deep/b.md")).unwrap());
    assert!(!block_on(target.holds(&cx, "file:docs/deep")).unwrap());
    assert!(block_on(target.holds(&cx, "table:x")).unwrap_err().help().is_some());

    let print = block_on(target.fingerprint(&cx, Depth::Content)).unwrap();
    assert_eq!(print.schema.keys().collect::<Vec<_>>(), ["file a.json", "file docs/deep/b.md", "file docs/link"]);
    fs::write(dir.path().join("brain/no.txt"), "changed").unwrap();
    assert_eq!(block_on(target.fingerprint(&cx, Depth::Content)).unwrap(), print);
    fs::set_permissions(dir.path().join("brain/a.json"), fs::Permissions::from_mode(0o600)).unwrap();
    let moved = block_on(target.fingerprint(&cx, Depth::Content)).unwrap();
    assert_eq!(print.changes(&moved), ["file a.json is another one"]);
}

#[test]
fn claims_are_no_wider_than_the_patterns() {
    let claims = |path: &str, include: &[&str]| {
        let include = include.iter().map(|&p| p.to_owned()).collect();
        let spec = TargetSpec {
            name: "t".into(),
            kind: "dir".into(),
            path: path.into(),
            ledger: None,
            config: Default::default(),
        };
        DirTarget::claims(&DirConfig { include, exclude: vec![] }, &spec)
    };
    assert_eq!(claims(".", &["app.json", "logs/*.jsonl"]), ["app.json", "logs"]);
    assert_eq!(claims("brain/", &["docs/x"]), ["brain/docs/x"]);
    assert_eq!(claims("brain", &["*.json", "x"]), ["brain", "brain/x"]);
    assert_eq!(claims("brain", &[]), ["brain"]);
}

#[test]
fn a_restore_puts_everything_back_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let bench = brain(dir.path());
    let (target, cx) = (bench.target("brain"), bench.plan_cx());
    let brain = dir.path().join("brain");
    let before = (Tree::of(&brain), block_on(target.fingerprint(&cx, Depth::Content)).unwrap());
    let snapshot = block_on(target.snapshot(&cx, &dir.path().join("snap"))).unwrap();
    assert_eq!(snapshot.files.len(), 3, "two files and the index");
    assert_eq!(Tree::of(&brain).differences(&before.0), Vec::<String>::new());

    fs::write(brain.join("a.json"), "[1]").unwrap();
    fs::remove_file(brain.join("docs/link")).unwrap();
    symlink("b", brain.join("docs/link")).unwrap();
    fs::remove_dir_all(brain.join("docs/deep")).unwrap();
    fs::write(brain.join("docs/new.md"), "new").unwrap();
    let changed = Tree::of(&brain);

    let mut options = RestoreOptions { aside: dir.path().join("aside"), ..RestoreOptions::default() };
    let error = block_on(target.restore(&cx, &snapshot, &options)).unwrap_err();
    assert!(error.to_string().contains("`docs/new.md`"), "{error}");
    assert_eq!(Tree::of(&brain).differences(&changed), Vec::<String>::new());

    options.accept_loss = true;
    let restored = block_on(target.restore(&cx, &snapshot, &options)).unwrap();
    assert_eq!(restored.lost.get("files"), Some(&3), "a new file, an edited one, a link elsewhere");
    assert_eq!(before.1, block_on(target.fingerprint(&cx, Depth::Content)).unwrap());
    assert_eq!(fs::read_to_string(options.aside.join("docs/new.md")).unwrap(), "new");
    assert_eq!(fs::read_to_string(options.aside.join("a.json")).unwrap(), "[1]");
    assert_eq!(fs::read_link(options.aside.join("docs/link")).unwrap(), Path::new("b"));

    // A damaged snapshot is refused before anything is touched.
    fs::write(dir.path().join("snap/files/a.json"), "[]").unwrap();
    fs::write(brain.join("a.json"), "[2]").unwrap();
    assert!(block_on(target.restore(&cx, &snapshot, &options)).is_err());
    assert_eq!(fs::read_to_string(brain.join("a.json")).unwrap(), "[2]");
}

#[test]
fn a_restore_puts_files_back_where_folders_stand_now_and_folders_where_files_do() {
    let dir = tempfile::tempdir().unwrap();
    let bench = brain(dir.path());
    let (target, cx) = (bench.target("brain"), bench.plan_cx());
    let brain = dir.path().join("brain");
    let before = block_on(target.fingerprint(&cx, Depth::Content)).unwrap();
    let snapshot = block_on(target.snapshot(&cx, &dir.path().join("snap"))).unwrap();
    fs::remove_file(brain.join("docs/link")).unwrap();
    fs::create_dir_all(brain.join("docs/link/empty")).unwrap();
    fs::write(brain.join("docs/link/x.md"), "x").unwrap();
    fs::write(brain.join("docs/link/.y.cutover-lock"), "not of the target").unwrap();
    fs::remove_dir_all(brain.join("docs/deep")).unwrap();
    fs::write(brain.join("docs/deep"), "a file").unwrap();
    let changed = Tree::of(&brain);

    let options = RestoreOptions { aside: dir.path().join("aside"), accept_loss: true, ..RestoreOptions::default() };
    let error = block_on(target.restore(&cx, &snapshot, &options)).unwrap_err();
    assert!(error.to_string().contains("`docs/link` was a file, and is a folder with"), "{error}");
    assert_eq!(Tree::of(&brain).differences(&changed), Vec::<String>::new());

    fs::remove_file(brain.join("docs/link/.y.cutover-lock")).unwrap();
    block_on(target.restore(&cx, &snapshot, &options)).unwrap();
    assert_eq!(before, block_on(target.fingerprint(&cx, Depth::Content)).unwrap());
    assert_eq!(fs::read_to_string(options.aside.join("docs/link/x.md")).unwrap(), "x");
    assert_eq!(fs::read_to_string(options.aside.join("docs/deep")).unwrap(), "a file");
}

#[test]
fn a_restore_takes_back_what_a_program_wrote_and_asks_about_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let bench = brain(dir.path());
    let (target, cx) = (bench.target("brain"), bench.plan_cx());
    let brain = dir.path().join("brain");
    let before = block_on(target.fingerprint(&cx, Depth::Content)).unwrap();
    let snapshot = block_on(target.snapshot(&cx, &dir.path().join("snap"))).unwrap();
    let copy = block_on(target.snapshot(&cx, &dir.path().join("copy"))).unwrap();
    fs::write(brain.join("docs/by-it.md"), "by it").unwrap();
    symlink("by-it.md", brain.join("docs/link-by-it")).unwrap();
    fs::write(brain.join("a.json"), "[1]").unwrap();
    let wrote = block_on(target.changes_since(&cx, &copy)).unwrap();
    assert_eq!(wrote.as_object().unwrap().len(), 3, "{wrote}");
    let receipt = cutover_core::Receipt { wrote: [("brain".to_owned(), wrote)].into(), ..Default::default() };
    let mut options = RestoreOptions {
        aside: dir.path().join("aside"),
        undone: [("run".to_owned(), Some(receipt))].into(),
        ..RestoreOptions::default()
    };

    // Another file, and a file of the program that somebody wrote over.
    fs::write(brain.join("docs/theirs.md"), "theirs").unwrap();
    let error = block_on(target.restore(&cx, &snapshot, &options)).unwrap_err().to_string();
    assert!(error.contains("1 file in") && error.contains("`docs/theirs.md`"), "{error}");
    fs::remove_file(brain.join("docs/theirs.md")).unwrap();
    fs::write(brain.join("docs/by-it.md"), "their edit").unwrap();
    let error = block_on(target.restore(&cx, &snapshot, &options)).unwrap_err().to_string();
    assert!(error.contains("`docs/by-it.md`"), "{error}");
    fs::write(brain.join("docs/by-it.md"), "by it").unwrap();

    options.aside = dir.path().join("aside-2");
    assert!(block_on(target.restore(&cx, &snapshot, &options)).unwrap().lost.is_empty());
    assert_eq!(before, block_on(target.fingerprint(&cx, Depth::Content)).unwrap());
}

#[test]
fn the_change_counter_moves_with_every_write() {
    let dir = tempfile::tempdir().unwrap();
    let bench = brain(dir.path());
    let (target, cx) = (bench.target("brain"), bench.plan_cx());
    let first = block_on(target.change_counter(&cx)).unwrap();
    assert_eq!(block_on(target.change_counter(&cx)).unwrap(), first);
    fs::write(dir.path().join("brain/a.json"), "[]").unwrap();
    assert_ne!(block_on(target.change_counter(&cx)).unwrap(), first);
}

#[test]
fn a_missing_folder_is_unavailable() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Fixture::new(PLAN).open(dir.path());
    let error = block_on(bench.target("brain").assess(&bench.plan_cx())).unwrap_err();
    assert_eq!(error.kind(), cutover_core::StepErrorKind::Unavailable);
    assert!(!block_on(bench.target("brain").holds(&bench.plan_cx(), "file:a")).unwrap());
}
