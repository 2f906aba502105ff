//! What an application gets that links this crate: whether SQLite is built into it is the application's to say.

use std::process::Command;

#[test]
fn who_links_it_gets_no_sqlite_and_no_more_of_rusqlite_than_it_needs() {
    let ran = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "cutover-dual", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p} [{f}]"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(ran.stdout).unwrap();
    let features = |name: &str| {
        let line = tree.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name}\n{tree}{}", String::from_utf8_lossy(&ran.stderr)));
        line.split_once('[').unwrap().1.split_once(']').unwrap().0.to_owned()
    };
    assert_eq!(features("rusqlite "), "cache,hashlink");
    assert!(!features("libsqlite3-sys ").contains("bundled"), "{tree}");
}
