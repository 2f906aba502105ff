//! For each registered kind a small plan that applies a step of it, and undoes it.
//!
//! Owns which step of which kind is applied among which others. A kind that is not named here joins with its example.

use cutover_core::fault::{self, Faults};

use super::plans::{Small, copy, one_way, script, step};
use super::stores::Memory;

/// How the plan around the step is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axes {
    pub(super) wal: bool,
    /// Each step is a transaction of its own.
    pub(super) alone: bool,
    /// A neighbour is undone by restoring.
    pub(super) restored: bool,
}

impl Axes {
    /// All of them; of the first four, as of the last four, each two show every pair of values of two axes.
    pub(super) const ALL: [Self; 8] = [
        Self::of(false, false, false),
        Self::of(true, true, false),
        Self::of(true, false, true),
        Self::of(false, true, true),
        Self::of(true, true, true),
        Self::of(false, false, true),
        Self::of(false, true, false),
        Self::of(true, false, false),
    ];

    const fn of(wal: bool, alone: bool, restored: bool) -> Self {
        Self { wal, alone, restored }
    }

    /// As a part of a path.
    pub(super) fn name(self) -> String {
        let word = |yes: bool, one: &'static str, other: &'static str| if yes { one } else { other };
        format!(
            "{}/{}/{}",
            word(self.wal, "wal", "delete"),
            word(self.alone, "alone", "grouped"),
            word(self.restored, "restored", "inverse")
        )
    }
}

/// What a system needs beside its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// That folder of the root is on a device of its own.
    Device(&'static str),
    /// The pages of the database got another size before the command.
    OtherPageSize,
}

/// A kind of step or target, and where in its plan it is met.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) kind: &'static str,
    /// As a part of a path: the kind, and behind a `+` which of its ways it goes where there are several.
    pub(super) name: &'static str,
    example: &'static str,
    pub(super) faults: Faults,
    /// The step in which the points of the way there are passed.
    pub(super) forth: &'static str,
    /// The step in which those of the way back are passed.
    pub(super) back: &'static str,
}

/// Kinds that do another thing when they are told to, and are met once more.
const VARIANTS: [(&str, &str); 6] = [
    ("flag.set", "flag.set+table"),
    ("kv.copy", "kv.copy+backups"),
    ("kv.copy", "kv.copy+fjall"),
    ("kv.transform", "kv.transform+fjall"),
    ("sqlite.backfill", "sqlite.backfill+mapping"),
    ("sqlite.cutover", "sqlite.cutover+new-only"),
];

impl Row {
    /// All that is registered.
    pub(super) fn all() -> Vec<Self> {
        let registry = cutover_runner::registry().unwrap();
        let steps = registry.steps().map(|s| Self {
            kind: s.kind,
            name: s.kind,
            example: s.example,
            faults: faults_of(s.kind, s.faults),
            forth: "k",
            back: "k",
        });
        // A target's snapshot is taken by one step, and put back when another is undone.
        let targets = registry.targets().map(|t| Self {
            kind: t.kind,
            name: t.kind,
            example: t.example,
            faults: t.faults,
            forth: "copy",
            back: if t.kind == "sqlite" { "b" } else { "k" },
        });
        let mut all: Vec<Self> = steps.chain(targets).collect();
        for (kind, name) in VARIANTS {
            let plain = all.iter().find(|row| row.kind == kind).copied();
            all.extend(plain.map(|row| Self { name, faults: faults_of(name, row.faults), ..row }));
        }
        // A flag is in one store, and passes the points of whoever writes there.
        for (name, writer) in [("flag.set", "config.map"), ("flag.set+table", "sqlite.rows")] {
            let faults = registry.step(writer).unwrap().faults;
            all.iter_mut().filter(|row| row.name == name).for_each(|row| row.faults = faults);
        }
        all
    }

    /// Those to be met: all, or those whose kind or name is among `CUTOVER_KIND=NAME,NAME`.
    pub(super) fn asked_for() -> Vec<Self> {
        let mut all = Self::all();
        if let Ok(asked) = std::env::var("CUTOVER_KIND") {
            let asked: Vec<&str> = asked.split(',').collect();
            let unknown = asked.iter().find(|name| !all.iter().any(|row| row.is(name)));
            assert_eq!(unknown, None, "CUTOVER_KIND names a kind that is not registered");
            all.retain(|row| asked.iter().any(|name| row.is(name)));
        }
        all
    }

    fn is(&self, name: &str) -> bool {
        self.kind == name || self.name == name
    }

    /// Whether a command ends with 103 until a person approved: parts that count the calls or the bytes of one undisturbed
    /// command do not meet it.
    pub(super) fn asks(&self) -> bool {
        self.kind == "gate.approval"
    }

    /// Whether it is met as what it is, and not once more for another of its ways.
    pub(super) fn is_plain(&self) -> bool {
        self.kind == self.name
    }

    /// The plan: `a`; then the step `k`, and `b` and `c` on top of it.
    pub(super) fn plan(&self, axes: Axes) -> Small {
        let is_target = ["sqlite", "dir", "badger", "fjall", "sled"].contains(&self.kind);
        let contracted = self.kind == "sqlite.retire";
        let alone = if axes.alone { "atomic = false" } else { "" };
        let restored = axes.restored || is_target || contracted || ["kv.gc", "sqlite.drop"].contains(&self.kind);
        let unit = if restored { format!("{alone}\nunit = \"u\"") } else { alone.to_owned() };
        let memory = self.memory();
        let kept = if memory.is_some() && (is_target || self.kind == "kv.gc") {
            "[\"app\", \"memory\"]"
        } else {
            "[\"app\", \"files\"]"
        };
        let copies = copy().replace("[\"app\"]", kept);
        let mut first = vec![script("a", "")];
        first.extend(self.stages_before().iter().map(|(kind, with)| of_mapping(kind, with)));
        first.extend((self.kind == "kv.verify").then(|| step("fill", COPY)));
        if contracted {
            first.push(copy().replace("\"copy\"", "\"earlier\"").replace("\"backups\"", "\"kept/earlier\""));
            first.push(of_mapping("contract", ""));
        }
        first.extend((restored || self.kind == "sqlite.contract").then_some(copies));
        let b = if restored { one_way("b", &unit) } else { script("b", alone) };
        let freeze = format!("use = \"sqlite.freeze\"\ntarget = \"app\"\n{unit}");
        let frozen = (self.kind == "sqlite.thaw").then(|| step("f", &freeze));
        let thawed = (self.kind == "sqlite.freeze")
            .then(|| step("t", "use = \"sqlite.thaw\"\ntarget = \"app\"\nwith = { freeze = \"k\" }"));
        let steps = frozen.into_iter().chain(self.step(&unit)).chain([b, script("c", alone)]).chain(thawed);
        let second: Vec<String> = steps.collect();
        Small::new(self.kind, "", &[&first, &second]).with_filler(self.kind == "sqlite").with_memory(memory)
    }

    /// Whether its plan has key-value data.
    pub(super) fn has_store(&self) -> bool {
        self.memory().is_some()
    }

    /// The key-value data of its plan.
    fn memory(&self) -> Option<Memory> {
        match self.name {
            "badger" => Some(Memory::full("badger")),
            "fjall" => Some(Memory::full("fjall")),
            "sled" => Some(Memory::full("sled")),
            "kv.gc" => Some(Memory::with_history("sled")),
            "kv.transform" => Some(Memory::full("sled")),
            "kv.rename-prefix" | "kv.transform+fjall" => Some(Memory::full("fjall")),
            "kv.copy+fjall" => Some(Memory::none_yet("fjall").large()),
            "kv.copy" | "kv.copy+backups" | "kv.verify" => Some(Memory::none_yet("sled")),
            "kv.backup" => Some(Memory::full("sled")),
            _ => None,
        }
    }

    /// The steps that bring a mapping to where this one finds it: kind, and what else its `with` says.
    fn stages_before(&self) -> &'static [(&'static str, &'static str)] {
        const STAGES: [(&str, &str); 4] = [
            ("expand", ", up = \"tints.sql\""),
            ("backfill", ", batch = 2"),
            ("cutover", ", to = \"prefer-new\""),
            ("cutover", ", to = \"new-only\""),
        ];
        match self.name {
            "sqlite.backfill+mapping" => &STAGES[..1],
            "sqlite.parity" | "sqlite.cutover" => &STAGES[..2],
            "sqlite.cutover+new-only" => &STAGES[..3],
            "sqlite.contract" | "sqlite.retire" => &STAGES,
            _ => &[],
        }
    }

    /// What an earlier try left in the system, so that every point is passed.
    pub(super) fn left_before(&self) -> &'static [&'static str] {
        match self.kind {
            "target.snapshot" => &["kept/k/incomplete", "kept/k/app/half"],
            // A folder that can be on a device of its own.
            "file.archive" => &["old/earlier"],
            _ => &[],
        }
    }

    /// Whether a fjall store is read: fjall takes a read that ends early for the end of its file.
    pub(super) fn reads_fjall(&self) -> bool {
        self.name.contains("fjall") || self.kind == "kv.rename-prefix"
    }

    /// Whether a sled store is written, which a kill may damage (RELIABILITY.md, Known defects).
    pub(super) fn writes_sled(&self) -> bool {
        matches!(self.name, "sled" | "kv.gc" | "kv.transform" | "kv.copy" | "kv.copy+backups" | "kv.verify")
    }

    /// What the system needs beside the plan so that a point is passed.
    pub(super) fn needs(&self, point: &str) -> Option<Needs> {
        match (point, self.kind) {
            (fault::FILES_COPY_MADE | fault::FILES_COPY_NAMED, "file.archive") => Some(Needs::Device("old")),
            (fault::FILES_COPY_MADE | fault::FILES_COPY_NAMED, _) => Some(Needs::Device(".cutover")),
            (fault::SQLITE_RESIZE_COPIED | fault::SQLITE_RESIZED, _) => Some(Needs::OtherPageSize),
            _ => None,
        }
    }

    /// The step `k`; none where a target is what is met, and its neighbours use it.
    fn step(&self, more: &str) -> Option<String> {
        let on_app = |with: &str| format!("use = \"{}\"\ntarget = \"app\"\n{more}\nwith = {{ {with} }}", self.kind);
        let on_store =
            |with: &str| format!("use = \"{}\"\ntarget = \"memory\"\n{more}\nwith = {{ {with} }}", self.kind);
        let on_all = |with: &str| format!("use = \"{}\"\n{more}\nwith = {{ {with} }}", self.kind);
        let rest = match self.name {
            "sqlite" => return None,
            "dir" => format!(
                "use = \"command.run\"\n{more}\nwith.restore = \"files\"\n\
                 with.apply = [\"sh\", \"-c\", \
                 \"echo more >> settings.json; rm -f logs/b.jsonl logs/latest; echo new > logs/c.jsonl\"]\n\
                 with.verify = [\"test\", \"-e\", \"logs/c.jsonl\"]"
            ),
            "badger" => on_memory(
                "rm -f data/memory/000001.sst; printf 'Bdgr\\\\0\\\\0\\\\0\\\\10' > data/memory/MANIFEST",
                more,
            ),
            "fjall" | "sled" => on_memory(&format!("rm -rf data/memory; cp -r {} data/memory", Memory::OTHER), more),
            "kv.backup" => {
                format!("use = \"kv.backup\"\n{more}\nwith = {{ from = \"memory\", into = \"kept/k.bak\" }}")
            }
            "kv.copy" => format!("{LIVE}\n{more}"),
            "kv.copy+backups" | "kv.copy+fjall" => format!("{COPY}\n{more}"),
            "kv.gc" => on_store("keep = 1"),
            // Not the same when it is done twice.
            "kv.transform" | "kv.transform+fjall" => {
                on_store("programs = [{ prefix = \"layer\", jq = \".n = .n * 2 + 1760000000123456789\" }]")
            }
            "kv.reconfigure" => on_all("file = \"settings.json\", set = { NumCompactors = 2 }"),
            "kv.rename-prefix" => on_store("from = \"layer\", to = \"level\""),
            "kv.verify" => format!("{}\n{more}", COPY.replace("kv.copy", "kv.verify")),
            "command.run" => format!(
                "use = \"command.run\"\n{more}\n\
                 with.apply = [\"sh\", \"-c\", \"if [ -e made ]; then echo twice >> runs; fi; touch made\"]\n\
                 with.verify = [\"test\", \"-e\", \"made\"]\nwith.rollback = [\"rm\", \"-f\", \"made\"]\n\
                 with.writes = [\"app\"]"
            ),
            "config.map" => on_all(
                "from = \"settings.json\", to = \"new/settings.json\", set = { version = 2 }, keep = [\"name\"], \
                 drop = [{ key = \"old\", why = \"nobody reads it\" }]",
            ),
            "flag.set" => on_all("file = \"settings.json\", flag = \"features.review\""),
            "flag.set+table" => on_app(
                "table = \"colours\", name-column = \"id\", value-column = \"name\", flag = \"1\", value = \"on\"",
            ),
            "file.archive" => on_all("files = [\"logs/*.jsonl\"], into = \"old\""),
            "target.assess" => on_all("targets = [\"app\", \"more\"], into = \"kept/assess\""),
            "target.snapshot" => on_all("targets = [\"app\", \"more\", \"files\"], into = \"kept/k\""),
            "sqlite.archive" => on_app(
                "into = \"kept/k.sql.zst\", batch = 1, tables = [{ table = \"colours\", by = \"id\", keep = 1 }]",
            ),
            "sqlite.backfill" => on_app(
                "into = \"copies\", key = \"id\", key-stored = true, batch = 2, rows = \"SELECT id, name FROM colours\"",
            ),
            "sqlite.backfill+mapping" => on_app("mapping = \"tints.toml\", batch = 1"),
            "sqlite.check" => on_app("tables = { orders = [\"id\"] }, integrity = true"),
            "sqlite.columns" => on_app("table = \"colours\", add = [\"shade TEXT DEFAULT 'dark'\", \"n INTEGER\"]"),
            "sqlite.contract" => on_app("mapping = \"tints.toml\""),
            "sqlite.cutover" => on_app("mapping = \"tints.toml\", to = \"prefer-new\""),
            "sqlite.cutover+new-only" => on_app("mapping = \"tints.toml\", to = \"new-only\""),
            "sqlite.drop" => on_app("tables = [\"copies\"], set-aside = true"),
            "sqlite.expand" => on_app("mapping = \"tints.toml\", up = \"tints.sql\""),
            "sqlite.export" => on_app("into = \"kept/k.sql\""),
            "sqlite.freeze" => on_app("lease = \"60s\""),
            "sqlite.indexes" => on_app("create = [\"CREATE INDEX by_name ON colours(name)\"]"),
            "sqlite.parity" => on_app("mapping = \"tints.toml\""),
            "sqlite.maintain" => on_app("vacuum = \"whole\", above = 0.0"),
            "sqlite.retain" => on_app("batch = 1, tables = [{ table = \"colours\", by = \"id\", keep = 1 }]"),
            "sqlite.retire" => on_app("mapping = \"tints.toml\""),
            "sqlite.rows" => on_app(
                "table = \"colours\", key = [\"id\"], rows = [{ id = 8, name = \"x\" }, { id = 9, name = \"y\" }]",
            ),
            "sqlite.script" => on_app("up = \"d.sql\", down = \"d.down.sql\""),
            "sqlite.settings" => {
                on_app("set = { journal_mode = \"wal\", auto_vacuum = \"full\", user_version = 2 }, at-most = 2")
            }
            "sqlite.tables" => on_app("create = [\"CREATE TABLE shelves (id INTEGER PRIMARY KEY, n INTEGER)\"]"),
            "sqlite.thaw" => on_app("freeze = \"f\""),
            _ => {
                let rest: Vec<&str> = self.example.lines().filter(|line| !line.starts_with("id = ")).collect();
                rest.join("\n").replace("\"main\"", "\"app\"").replace("\"tier1\"", "\"app\"")
            }
        };
        Some(step("k", &rest))
    }
}

/// A copy of the system's backup.
const COPY: &str = "use = \"kv.copy\"\nwith = { backups = [\"data/memory.bak\"], into = \"memory\" }";

/// The same from a program that goes on writing: what it had before is in each of its backups.
const LIVE: &str = "use = \"kv.copy\"\nwith = { into = \"memory\", back-into = \"kept/back.bak\", lag = \"10m\", \
    backup-command = [\"sh\", \"-c\", \"cat data/memory.bak # {since}\"], \
    stop-command = [\"sh\", \"-c\", \"echo ended > data/old-program\"], \
    undo-stop-command = [\"rm\", \"-f\", \"data/old-program\"], \
    start-command = [\"sh\", \"-c\", \"echo begun > data/new-program\"], \
    undo-start-command = [\"rm\", \"-f\", \"data/new-program\"] }";

/// The points of a way that passes not all of its kind's.
fn faults_of(name: &str, all: Faults) -> Faults {
    let back = &[fault::KV_COPY_BACK, fault::KV_COPY_EMPTIED];
    match name {
        // sled takes no loads.
        "kv.copy" => {
            let loads = [fault::KV_COPY_LOAD, fault::KV_COPY_LOADED];
            let apply: Vec<_> = all.apply.iter().copied().filter(|point| !loads.contains(point)).collect();
            Faults { apply: apply.leak(), ..all }
        }
        "kv.copy+backups" => {
            Faults { apply: &[fault::KV_COPY_INTENDED, fault::KV_COPY_BATCH, fault::KV_COPY_DONE], rollback: back }
        }
        "kv.copy+fjall" => Faults {
            apply: &[
                fault::KV_COPY_INTENDED,
                fault::KV_COPY_BATCH,
                fault::KV_COPY_LOAD,
                fault::KV_COPY_LOADED,
                fault::KV_COPY_DONE,
            ],
            rollback: back,
        },
        _ => all,
    }
}

/// A command that writes past the target, and is undone by restoring it.
fn on_memory(command: &str, more: &str) -> String {
    format!("use = \"command.run\"\n{more}\nwith.restore = \"memory\"\nwith.apply = [\"sh\", \"-c\", \"{command}\"]")
}

/// A step of that mapping, named after what it does.
fn of_mapping(kind: &str, with: &str) -> String {
    let id = with.rsplit('"').nth(1).filter(|_| kind == "cutover").unwrap_or(kind);
    step(id, &format!("use = \"sqlite.{kind}\"\ntarget = \"app\"\nwith = {{ mapping = \"tints.toml\"{with} }}"))
}
