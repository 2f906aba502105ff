//! Pages of a database are damaged: whatever would write refuses before it does, and goes on once a good copy is back.
//!
//! `pages/MODE/STATE/PAGE/COMMAND` is a combination's name.

use cutover_tests::sqlite3;

use super::choice::Choice;
use super::damage::Damage;
use super::lab::{Lab, Line};
use super::plans::{Small, script};
use super::tally::Tally;
use crate::system::folder_in_memory;

const PAGE: usize = 4096;
const APPLY: Line = ("apply", &[]);
const BACK: Line = ("rollback", &["--to", "start", "--yes"]);
const COMMANDS: &[Line] = &[("plan", &[]), APPLY, ("verify", &[]), BACK, ("rehearse", &[])];
const DB: &str = "app.db";
/// Where the free pages, the inner pages and the index come from.
const MORE: &str = "CREATE TABLE shelf (id INTEGER PRIMARY KEY, t TEXT); CREATE INDEX by_t ON shelf(t);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
    INSERT INTO shelf SELECT i, printf('text of a row %d', i) FROM n;
    CREATE TABLE gone AS SELECT * FROM shelf; DROP TABLE gone;";

#[test]
fn a_database_with_damaged_pages_is_refused_before_any_write() {
    let choice = Choice::of_environment();
    let mut met = Tally::default();
    for (mode, wal) in [("delete", false), ("wal", true)] {
        let small = Small::new("pages", "", &[&[script("a", ""), script("b", "")], &[script("c", "")]]);
        let mut lab = Lab::new(&small, wal);
        sqlite3(lab.root().join(DB), MORE);
        for (state, before) in
            [("fresh", None), ("half", Some(("apply", ["--to", "a"].as_slice()))), ("complete", Some(APPLY))]
        {
            if let Some(line) = before {
                lab.expect(line, 0).unwrap();
            }
            // What the log holds covers the pages of the file.
            sqlite3(lab.root().join(DB), "PRAGMA wal_checkpoint(TRUNCATE)");
            let folder = folder_in_memory();
            let kept = folder.path().join("kept");
            lab.keep(&kept);
            for (what, damage) in pages(&lab) {
                for line in COMMANDS {
                    let name = format!("pages/{mode}/{state}/{what}/{}", line.0);
                    if choice.allows(&name) {
                        lab.put_back(&kept, "");
                        met.faults += 1;
                        let result = refused(&mut lab, *line, state, what, damage);
                        met.way_out(&name, result, lab.trail());
                    }
                }
            }
            lab.put_back(&kept, "");
        }
    }
    met.end("I", "pages of a database damaged", &choice);
}

/// One page of each kind, of the database as it is.
fn pages(lab: &Lab<'_>) -> Vec<(&'static str, Damage)> {
    let ask = |sql: &str| sqlite3(lab.root().join(DB), sql).trim().parse::<usize>().ok();
    let of = |name: &str, kind: &str| {
        ask(&format!("SELECT pageno FROM dbstat WHERE name = '{name}' AND pagetype = '{kind}' LIMIT 1"))
    };
    let over = |page: usize| Damage::Over((page - 1) * PAGE, PAGE);
    let mut found =
        vec![("magic", Damage::Bit(3, 2)), ("page-size", Damage::Bit(16, 5)), ("schema", Damage::Over(100, 2_000))];
    let more = [
        ("inner", of("shelf", "internal")),
        ("leaf", of("shelf", "leaf")),
        ("index", of("by_t", "leaf")),
        ("orders", of("orders", "leaf")),
        ("ledger", of("cutover_ledger", "leaf")),
        ("free", ask("SELECT freelist_count FROM pragma_freelist_count").filter(|n| *n > 0).map(|_| free(lab))),
    ];
    found.extend(more.into_iter().filter_map(|(what, page)| Some((what, over(page?)))));
    found
}

/// The first page of the list of free ones.
fn free(lab: &Lab<'_>) -> usize {
    let bytes = std::fs::read(lab.root().join(DB)).unwrap();
    usize::try_from(u32::from_be_bytes(bytes[32..36].try_into().unwrap())).unwrap()
}

fn refused(lab: &mut Lab<'_>, line: Line, state: &str, what: &str, damage: Damage) -> Result<(), String> {
    let folder = folder_in_memory();
    let good = folder.path().join("good");
    lab.keep(&good);
    lab.damage(DB, damage);
    let before = lab.system_files();
    let code = lab.run(line);
    let changed = before.differences(&lab.system_files());
    if !changed.is_empty() {
        return Err(format!("it wrote: {}", changed.join("; ")));
    }
    // What has nothing to do reads no more than the ledger, and what is only looked at no more than that.
    let idle = matches!((line.0, state), ("apply", "complete") | ("rollback", "fresh"));
    let looks = ["plan", "verify"].contains(&line.0) && !["magic", "page-size", "schema", "ledger"].contains(&what);
    match code {
        Some(66) if lab.last_said(DB) => {}
        Some(0) if idle || looks => {}
        code => return Err(format!("`{}` ended with {code:?}", line.0)),
    }
    let trail = lab.trail().to_owned();
    lab.put_back(&good, &trail);
    let wanted: &[i32] = if line.0 == "plan" { &[0, 3] } else { &[0] };
    match lab.run(line) {
        Some(code) if wanted.contains(&code) => Ok(()),
        code => Err(format!("with a good copy back `{}` ends with {code:?}", line.0)),
    }
}

#[test]
fn a_bit_of_a_text_that_turned_harms_nothing_else() {
    let small = Small::new("pages", "", &[&[script("a", ""), script("b", "")], &[script("c", "")]]);
    let mut lab = Lab::new(&small, false);
    sqlite3(lab.root().join(DB), MORE);
    let bytes = std::fs::read(lab.root().join(DB)).unwrap();
    let at = bytes.windows(5).position(|w| w == b"green").unwrap();
    lab.damage(DB, Damage::Bit(at, 0));
    let before = lab.world();
    lab.expect(APPLY, 0).unwrap();
    lab.expect(("verify", &[]), 0).unwrap();
    lab.expect(BACK, 0).unwrap();
    lab.is(&before, true).unwrap();
}

#[test]
fn a_damaged_snapshot_is_refused_and_a_good_one_restored() {
    let choice = Choice::of_environment();
    let mut met = Tally::default();
    let small = Small::all().into_iter().find(|p| p.name == "restored").unwrap();
    let mut lab = Lab::new(&small, false);
    let before = lab.world();
    lab.expect(APPLY, 0).unwrap();
    let folder = folder_in_memory();
    let kept = folder.path().join("kept");
    lab.keep(&kept);
    let files: Vec<String> = lab
        .system_files()
        .paths()
        .filter(|p| p.starts_with("backups/") && lab.root().join(p).is_file())
        .map(str::to_owned)
        .collect();
    for file in files {
        let Some(length) = lab.length(&file).filter(|length| *length > 0) else { continue };
        for damage in [Damage::Cut(0), Damage::Cut(length / 2), Damage::Bit(length / 2, 3), Damage::Bit(length - 1, 0)]
        {
            let name = format!("pages/snapshot/{file}/{damage}");
            if !choice.allows(&name) {
                continue;
            }
            lab.put_back(&kept, "");
            lab.damage(&file, damage);
            met.faults += 1;
            let result = (|| {
                match lab.run(BACK) {
                    // What was damaged is not needed: two manifests say the same.
                    Some(0) => return lab.is(&before, true),
                    Some(101) => met.settled += 1,
                    code => return Err(format!("`rollback` ended with {code:?}")),
                }
                lab.run_looking("explain");
                std::fs::copy(kept.join(&file), lab.root().join(&file)).unwrap();
                lab.expect(BACK, 0)?;
                lab.is(&before, true)
            })();
            met.way_out(&name, result, lab.trail());
        }
    }
    met.end("I", "a snapshot damaged before it is restored", &choice);
}
