//! Random statements: every verb with every conflict clause, on few keys and values, so that they meet.

use super::random::Random;
use super::support::{MAPPING, SCHEMA, SYNTHESES, SYNTHESES_MAPPING};
use crate::expand::weave::Side;

/// A kind of schema and what programs write into it.
pub(super) struct Writes {
    pub(super) name: &'static str,
    /// Statements, one text after the other.
    pub(super) schema: &'static [&'static str],
    pub(super) mapping: &'static [&'static str],
    pub(super) tables: &'static [Table],
    /// Ids are counted by AUTOINCREMENT.
    pub(super) counted: bool,
}

pub(super) struct Table {
    pub(super) name: &'static str,
    side: Side,
    /// What an upsert may name, and what an update counts up.
    key: &'static str,
    columns: &'static [(&'static str, &'static [&'static str])],
}

pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) table: &'static str,
    pub(super) side: Side,
    /// OR ROLLBACK: it may end the transaction that it is in.
    pub(super) undoes: bool,
}

const IDS: &[&str] = &["1", "2", "3", "4", "5", "6", "7", "8", "9"];
const SIGNED: &[&str] = &["1", "2", "3", "4", "5", "-1", "-2", "-3", "0"];
const TIMES: &[&str] = &[
    "'2025-11-13 10:00:00'",
    "'2025-11-13 10:00:00'",
    "'2025-11-13T10:00:00.5Z'",
    "'2025-11-13 12:00:01+02:00'",
    "'garbage'",
    "NULL",
    "'1999-01-01 00:00:00'",
    "'2025-11-13 10:00:02'",
];
const MOMENTS: &[&str] = &["1763028000000", "1763028000500", "1763028001123", "1763028002000", "1763028002999"];
const NAMES: &[&str] = &["'a'", "'A'", "'b'", "'c'", "'d'", "NULL"];
const SPECS: &[&str] = &["'s1'", "'s2'"];

const UNIQUE: &str =
    "CREATE TABLE o (id INTEGER PRIMARY KEY AUTOINCREMENT, u TEXT UNIQUE COLLATE NOCASE, v, only TEXT);
    CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, u TEXT COLLATE NOCASE, v, w TEXT DEFAULT 'w', UNIQUE (u));";
const PLAIN: &str = "[[table]]\nname = 'p'\nold = 'o'\nnew = 'n'\nkey = [{ old = 'id', new = 'id' }]\n\
    [table.forth]\nu = 'old.u'\nv = 'old.v'\n[table.back]\nu = 'new.u'\nv = 'new.v'\n";
const PAIRS: &str = "CREATE TABLE o (a TEXT, b INTEGER NOT NULL, u TEXT, v TEXT NOT NULL, PRIMARY KEY (a, b)) WITHOUT ROWID;
    CREATE UNIQUE INDEX some ON o(u) WHERE v <> 'x';
    CREATE TABLE n (k INTEGER NOT NULL, j TEXT NOT NULL COLLATE BINARY, t TEXT CHECK (t IS NULL OR t <> 'c'), v TEXT NOT NULL, PRIMARY KEY (j, k));";
const PAIRED: &str = "[[table]]\nname = 'p'\nold = 'o'\nnew = 'n'\nkey = [{ old = 'b', new = 'k' }, { old = 'a', new = 'j' }]\n\
    [table.forth]\nt = 'old.u'\nv = \"'<' || old.v\"\n[table.back]\nu = 'new.t'\nv = \"ltrim(new.v, '<')\"\n";

/// All of them.
pub(super) const WORLDS: &[Writes] = &[
    Writes {
        name: "consensus",
        schema: &[SCHEMA],
        mapping: &[MAPPING],
        counted: true,
        tables: &[
            Table {
                name: "consensus_artifacts",
                side: Side::Old,
                key: "id",
                columns: &[
                    ("id", IDS),
                    ("spec_id", SPECS),
                    ("stage", &["'plan'"]),
                    ("agent_name", &["'a'", "'b'"]),
                    ("content_json", NAMES),
                    ("created_at", TIMES),
                    ("response_text", NAMES),
                ],
            },
            Table {
                name: "agent_outputs",
                side: Side::New,
                key: "id",
                columns: &[
                    ("id", IDS),
                    ("run_id", &["1", "2", "3", "4"]),
                    ("agent_name", &["'a'", "'c'"]),
                    ("content", NAMES),
                    ("model_version", NAMES),
                    ("output_timestamp", MOMENTS),
                ],
            },
            Table {
                name: "consensus_runs",
                side: Side::New,
                key: "id",
                columns: &[
                    ("id", &["1", "2", "3", "4", "5"]),
                    ("spec_id", SPECS),
                    ("stage", &["'plan'", "'tasks'"]),
                    ("run_timestamp", MOMENTS),
                    ("consensus_ok", &["0", "1"]),
                    ("synthesis_json", NAMES),
                ],
            },
        ],
    },
    Writes {
        name: "shared",
        schema: &[SCHEMA, SYNTHESES],
        mapping: &[MAPPING, SYNTHESES_MAPPING],
        counted: true,
        tables: &[
            Table {
                name: "consensus_artifacts",
                side: Side::Old,
                key: "id",
                columns: &[
                    ("id", IDS),
                    ("spec_id", SPECS),
                    ("stage", &["'plan'"]),
                    ("agent_name", &["'a'", "'b'"]),
                    ("content_json", NAMES),
                    ("created_at", TIMES),
                ],
            },
            Table {
                name: "consensus_synthesis",
                side: Side::Old,
                key: "id",
                columns: &[
                    ("id", SIGNED),
                    ("spec_id", SPECS),
                    ("stage", &["'plan'"]),
                    ("output_markdown", NAMES),
                    ("status", NAMES),
                    ("degraded", &["0", "1", "NULL"]),
                    ("created_at", TIMES),
                    ("run_id", NAMES),
                ],
            },
            Table {
                name: "agent_outputs",
                side: Side::New,
                key: "id",
                columns: &[
                    ("id", IDS),
                    ("run_id", SIGNED),
                    ("agent_name", &["'a'", "'c'"]),
                    ("content", NAMES),
                    ("output_timestamp", MOMENTS),
                ],
            },
            Table {
                name: "consensus_runs",
                side: Side::New,
                key: "id",
                columns: &[
                    ("id", SIGNED),
                    ("spec_id", SPECS),
                    ("stage", &["'plan'", "'tasks'"]),
                    ("run_timestamp", MOMENTS),
                    ("consensus_ok", &["0", "1"]),
                    ("degraded", &["0", "1", "NULL"]),
                    (
                        "synthesis_json",
                        &["NULL", "NULL", "NULL", "'{\"status\":\"ok\"}'", "'{\"output_markdown\":\"m\"}'", "'cut'"],
                    ),
                ],
            },
        ],
    },
    Writes {
        name: "unique",
        schema: &[UNIQUE],
        mapping: &[PLAIN],
        counted: true,
        tables: &[
            Table {
                name: "o",
                side: Side::Old,
                key: "id",
                columns: &[("id", IDS), ("u", NAMES), ("v", &["1", "1.0", "'1'", "x'31'", "NULL"]), ("only", NAMES)],
            },
            Table {
                name: "n",
                side: Side::New,
                key: "id",
                columns: &[("id", IDS), ("u", NAMES), ("v", &["1", "1.0", "'1'", "x'31'", "NULL"]), ("w", NAMES)],
            },
        ],
    },
    Writes {
        name: "pairs",
        schema: &[PAIRS],
        mapping: &[PAIRED],
        counted: false,
        tables: &[
            Table {
                name: "o",
                side: Side::Old,
                key: "a, b",
                columns: &[("a", NAMES), ("b", &["1", "2", "3"]), ("u", NAMES), ("v", &["'x'", "'y'", "NULL"])],
            },
            Table {
                name: "n",
                side: Side::New,
                key: "j, k",
                columns: &[("j", NAMES), ("k", &["1", "2", "3"]), ("t", NAMES), ("v", &["'<x'", "'<y'", "NULL"])],
            },
        ],
    },
];

const CLAUSES: &[&str] = &["", "", "OR ABORT ", "OR FAIL ", "OR IGNORE ", "OR REPLACE ", "OR REPLACE ", "OR ROLLBACK "];

/// A random statement, of an old or a new program, or of the one that `only` names.
pub(super) fn statement(random: &mut Random, world: &'static Writes, only: Option<Side>) -> Statement {
    let table = loop {
        let table = &world.tables[random.below(world.tables.len() as u64) as usize];
        if only.is_none_or(|side| side == table.side) {
            break table;
        }
    };
    let clause = random.pick(CLAUSES);
    let name = table.name;
    let sql = match random.below(20) {
        0..=7 => insert(random, table, clause),
        8 | 9 => upsert(random, table),
        10 => format!("REPLACE INTO {name} SELECT * FROM {name} {}", condition(random, table)),
        11..=16 => update(random, table, clause),
        17 if random.chance(6) => format!("DELETE FROM {name}"),
        _ => format!("DELETE FROM {name} {}", condition(random, table)),
    };
    Statement { undoes: sql.contains("OR ROLLBACK"), sql, table: name, side: table.side }
}

fn insert(random: &mut Random, table: &Table, clause: &str) -> String {
    // An id is often left to SQLite.
    let keep = |random: &mut Random, name: &str| name != "id" || !random.chance(2);
    let columns: Vec<_> = table.columns.iter().filter(|(name, _)| keep(random, name)).collect();
    let names = columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let rows: Vec<String> = (0..=random.below(3))
        .map(|_| {
            let values = columns.iter().map(|(_, pool)| sure(random, pool)).collect::<Vec<_>>().join(", ");
            format!("({values})")
        })
        .collect();
    format!("INSERT {clause}INTO {} ({names}) VALUES {}", table.name, rows.join(", "))
}

/// A value that is seldom NULL.
fn sure(random: &mut Random, pool: &[&'static str]) -> &'static str {
    let value = random.pick(pool);
    if value == "NULL" && !random.chance(4) { pool[0] } else { value }
}

fn upsert(random: &mut Random, table: &Table) -> String {
    let insert = insert(random, table, "");
    let column = table.columns[random.below(table.columns.len() as u64) as usize].0;
    match random.below(3) {
        0 => format!("{insert} ON CONFLICT DO NOTHING"),
        1 => format!("{insert} ON CONFLICT ({}) DO UPDATE SET {column} = excluded.{column}", table.key),
        _ => format!("{insert} ON CONFLICT DO UPDATE SET {column} = excluded.{column}"),
    }
}

fn update(random: &mut Random, table: &Table, clause: &str) -> String {
    let mut sets: Vec<String> = Vec::new();
    for _ in 0..=random.below(2) {
        let (name, pool) = table.columns[random.below(table.columns.len() as u64) as usize];
        let counted = pool[0] == "1" && random.chance(3);
        let value = if counted { format!("{name} + 1") } else { sure(random, pool).to_owned() };
        if !sets.iter().any(|set| set.starts_with(&format!("{name} ="))) {
            sets.push(format!("{name} = {value}"));
        }
    }
    format!("UPDATE {clause}{} SET {} {}", table.name, sets.join(", "), condition(random, table))
}

fn condition(random: &mut Random, table: &Table) -> String {
    let (name, pool) = table.columns[random.below(table.columns.len() as u64) as usize];
    match random.below(6) {
        0 => "WHERE 1".to_owned(),
        1 => format!("WHERE {name} <> {}", sure(random, pool)),
        _ => format!("WHERE {name} = {}", sure(random, pool)),
    }
}
