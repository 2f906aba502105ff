//! A secret that a plan takes from the environment is in nothing that the program says or keeps, whatever goes wrong.
//!
//! Every command is run in every format, on a plan that applies, on one whose command fails and on one whose SQL does;
//! then every file below the root is searched. Exempt is the data of the targets, and what is a copy of it: the plan
//! put the secret there.

use std::cell::RefCell;
use std::fs;
use std::process::Command;

use cutover_tests::{Ran, Tree, run, sqlite3};

use super::choice::Choice;
use super::tally::Tally;
use crate::system::System;

/// The part of the secret that no encoding of text changes.
const CORE: &str = "Canary7Qx9ZkW";

/// With what encodings do change.
const SECRET: &str = "Canary7Qx9ZkW\"\\/=?é";

/// One that a column makes a number of.
const PIN: &str = "7351928465";

/// Prints its argument in every encoding, on both streams, in two writes, across the buffer of a pipe, and in the middle.
const PRINTS: &str = r#"import base64, json, sys, time, urllib.parse
secret = sys.argv[1]
forms = [
    secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), urllib.parse.quote(secret, safe=""),
    urllib.parse.quote_plus(secret), secret.encode().hex(), base64.b64encode(secret.encode()).decode(),
    base64.urlsafe_b64encode(secret.encode()).decode(), base64.b64encode(("user:" + secret).encode()).decode(),
]
for out in (sys.stdout.buffer, sys.stderr.buffer):
    for form in forms:
        form = form.encode()
        for part in (form + b"\n", form[:7], form[7:], b"\n"):
            out.write(part)
            out.flush()
        time.sleep(0.002)
    out.write(b"x" * (65536 - 20) + secret.encode() + b"\n" + b"y" * (262144 - 10) + secret.encode() + b"\n")
    out.flush()
sys.exit(int(sys.argv[2]))
"#;

const PLAN: &str = r#"name = "secret"
[targets.app]
kind = "sqlite"
path = "app.db"
[targets.config]
kind = "dir"
path = "config"
[[phase]]
name = "all"
layer = "storage"
[[phase.step]]
id = "copies"
use = "target.snapshot"
with = { targets = ["app", "config"], into = "backups" }
[[phase.step]]
id = "report"
use = "target.assess"
with = { targets = ["app", "config"], into = "reports" }
[[phase.step]]
id = "print"
use = "command.run"
with = { apply = ["python3", "../plan/prints.py", "${env.CANARY}", "0"], verify = ["true"], rollback = ["echo", "${env.CANARY}"] }
[[phase.step]]
id = "configuration"
use = "config.map"
target = "config"
with = { from = "c.json", to = "c.json", set = { token = "${env.CANARY}" } }
[[phase.step]]
id = "row"
use = "sqlite.rows"
target = "app"
with = { table = "t", key = ["k"], rows = [{ k = "token", v = "${env.CANARY}" }, { k = "pin", v = "${env.PIN}" }] }
[[phase.step]]
id = "number"
use = "sqlite.rows"
target = "app"
with = { table = "n", key = ["k"], rows = [{ k = 1, v = "${env.PIN}" }] }
[[phase.step]]
id = "keyed"
use = "sqlite.rows"
target = "app"
with = { table = "t", key = ["k"], rows = [{ k = "${env.CANARY}", v = "known by it" }] }
[[phase.step]]
id = "keyed-without-rowid"
use = "sqlite.rows"
target = "app"
with = { table = "w", key = ["k"], rows = [{ k = "${env.CANARY}", v = "known by it" }] }
[[phase.step]]
id = "filled"
use = "sqlite.backfill"
target = "app"
with = { into = "t", rows = "SELECT '${env.CANARY}' AS source, 'filled' AS k, '${env.CANARY}' AS v", key = "source" }
"#;

const BEFORE: &str =
    "CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT); CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
    CREATE TABLE n (k INTEGER PRIMARY KEY, v INTEGER);";

/// Steps that fail with the secret in what they say.
const FAILING: [(&str, &str); 3] = [
    (
        "command",
        r#"use = "command.run"
with = { apply = ["python3", "../plan/prints.py", "${env.CANARY}", "3"], verify = ["true"], rollback = ["true"] }"#,
    ),
    (
        "sql",
        r#"use = "sqlite.backfill"
target = "app"
with = { into = "t", rows = "SELECT nowhere('${env.CANARY}') AS source, 'a' AS k, '${env.PIN}' AS v", key = "source" }"#,
    ),
    (
        "way-back",
        r#"use = "command.run"
with = { apply = ["false"], verify = ["true"], rollback = ["python3", "../plan/prints.py", "${env.CANARY}", "4"] }"#,
    ),
];

/// A system, and how often what was said of it.
struct Watched {
    system: System,
    met: RefCell<Tally>,
    needles: Vec<String>,
}

impl Watched {
    fn new(plan: &str) -> Self {
        let system = System::new(BEFORE, plan);
        system.write("prints.py", PRINTS);
        system.write_root("config/c.json", "{}");
        let code = "import base64, sys\nfor i in range(3): print(base64.b64encode(b'x' * i + sys.argv[1].encode()).decode()[4:-4])";
        let inside = run(Command::new("python3").args(["-c", code, CORE])).expect_code(0).stdout;
        let hex: String = CORE.bytes().map(|b| format!("{b:02x}")).collect();
        let needles = [CORE, PIN, &hex].into_iter().chain(inside.lines()).map(str::to_owned).collect();
        Self { system, met: RefCell::default(), needles }
    }

    fn holds(&self, bytes: &[u8]) -> Option<&str> {
        let found = |needle: &&String| bytes.windows(needle.len()).any(|w| w == needle.as_bytes());
        self.needles.iter().find(found).map(String::as_str)
    }

    /// Runs a command and searches what it says.
    fn says(&self, command: &str, args: &[&str]) -> Ran {
        self.hears(self.system.command(command, args), &format!("{command} {}", args.join(" ")))
    }

    fn hears(&self, mut command: Command, name: &str) -> Ran {
        // Logs say most of all, in text and in JSON by turns.
        let log = if self.met.borrow().faults.is_multiple_of(2) { "text" } else { "json" };
        command.env("CANARY", SECRET).env("PIN", PIN).args(["--log", log, "--log-level", "trace"]);
        let ran = run(&mut command);
        let mut met = self.met.borrow_mut();
        met.faults += 1;
        let result = match [&ran.stdout, &ran.stderr].iter().find_map(|text| self.holds(text.as_bytes())) {
            Some(needle) => Err(format!("`{name}` shows `{needle}`")),
            None if ran.code.is_none_or(|code| code == 70) => Err(format!("`{name}` ended with {:?}", ran.code)),
            None => Ok(()),
        };
        met.way_out(&format!("canary/{}", name.replace(' ', "-")), result, &self.system.seen(&ran));
        ran
    }

    /// Looks at it in every way there is.
    fn looked_at(&self) {
        for command in ["check", "plan", "verify", "status", "explain", "history"] {
            for format in ["text", "json", "markdown", "sarif", "github"] {
                self.says(command, &["--format", format, "-v"]);
            }
        }
    }

    /// Searches every file, after `when`.
    fn kept(&self, when: &str) {
        let root = self.system.root();
        let tree = Tree::of(&root);
        let data = |path: &str| {
            let name = path.rsplit('/').next().unwrap_or_default();
            // The targets, and copies of them.
            name.starts_with("app.db") || name.starts_with("app.2.db") || name == "c.json"
        };
        let files: Vec<&str> = tree.paths().filter(|path| root.join(path).is_file()).collect();
        let mut met = self.met.borrow_mut();
        for path in files.iter().filter(|path| !data(path)) {
            let held = self.holds(&fs::read(root.join(path)).unwrap());
            let result = held.map_or(Ok(()), |needle| Err(format!("after {when} `{path}` holds `{needle}`")));
            met.way_out(&format!("canary/{when}/{path}"), result, "");
        }
        if sqlite3(root.join("app.db"), "SELECT name FROM sqlite_master WHERE name = 'cutover_ledger'").is_empty() {
            return;
        }
        // The last key of a backfill is a value of the target's own, kept there until the backfill is rolled back.
        let kept = "SELECT * FROM cutover_ledger; SELECT * FROM cutover_state WHERE key NOT LIKE 'filled:%'";
        let ledger = self.system.ask(kept);
        let held = self.holds(ledger.as_bytes());
        let result = held.map_or(Ok(()), |needle| Err(format!("after {when} the ledger holds `{needle}`")));
        met.way_out(&format!("canary/{when}/ledger"), result, "");
        let journal = files.contains(&".cutover/journal.db");
        met.way_out("canary/journal", journal.then_some(()).ok_or("no journal was searched".to_owned()), "");
    }
}

#[test]
fn a_secret_is_in_no_output_and_in_no_file() {
    let mut met = applied();
    for (name, step) in FAILING {
        met.add(failed(name, step));
    }
    met.end("K", "a secret in what is said, kept and printed", &Choice::of_environment());
}

/// The plan goes there and back, by every command.
fn applied() -> Tally {
    let watched = Watched::new(PLAN);
    let system = &watched.system;
    let says = |command: &str, args: &[&str], code: i32| watched.says(command, args).expect_code(code);
    watched.looked_at();
    says("rehearse", &["--format", "json"], 0);
    says("rehearse", &["--keep", "-v"], 0);
    watched.kept("rehearse");
    let saved = system.file("saved.json").display().to_string();
    says("plan", &["--out", &saved], 0);
    assert!(watched.holds(&fs::read(&saved).unwrap()).is_none(), "the saved plan holds it");
    let mut apply = crate::system::cutover();
    apply.args(["apply", &saved, "-v", "--root"]).arg(system.root());
    watched.hears(apply, "apply saved").expect_code(0);
    assert_eq!(system.ask("SELECT v FROM t WHERE k = 'token'; SELECT v FROM n"), format!("{SECRET}\n{PIN}"));
    watched.kept("apply");
    watched.looked_at();
    // What is not as it was applied is told with what it should be.
    system.ask("UPDATE t SET v = 'another'; UPDATE n SET v = 5");
    system.write_root("config/c.json", "{\"token\": \"another\"}");
    says("verify", &[], 102);
    watched.looked_at();
    system.ask(&format!("UPDATE t SET v = '{SECRET}' WHERE k IN ('token', 'filled'); UPDATE n SET v = {PIN}"));
    system
        .ask(&format!("UPDATE t SET v = '{PIN}' WHERE k = 'pin'; UPDATE t SET v = 'known by it' WHERE k = '{SECRET}'"));
    watched.says("accept", &["row", "--note", SECRET]);
    watched.says("resolve", &["row", "--as", "applied", "--note", "no"]);
    watched.says("baseline", &["--to", "all"]);
    says("prune", &["--keep", "0", "--yes"], 0);
    watched.kept("prune");
    watched.says("rollback", &["--to", "start", "--yes", "-v"]);
    watched.kept("rollback");
    watched.looked_at();
    let refused = PLAN.replace("verify = [\"true\"]", "timeout = \"${env.CANARY}\"");
    system.write("plan.toml", &refused);
    watched.looked_at();
    watched.met.into_inner()
}

/// A step of the plan fails.
fn failed(name: &str, step: &str) -> Tally {
    let watched = Watched::new(&format!("{PLAN}[[phase.step]]\nid = \"fails\"\n{step}\n"));
    watched.says("rehearse", &[]);
    watched.says("apply", &["--format", "json"]);
    let ended = watched.says("apply", &["-v"]);
    assert!(matches!(ended.code, Some(100 | 101)), "{}", watched.system.seen(&ended));
    watched.looked_at();
    watched.kept(name);
    watched.says("rollback", &["--to", "start", "--yes", "--format", "json"]);
    watched.says("resolve", &["fails", "--as", "rolled-back", "--note", "by hand", "--unproven"]);
    watched.kept(name);
    watched.met.into_inner()
}

#[test]
fn a_secret_that_json_escapes_is_in_no_line_either() {
    const PLAN: &str = r#"name = "secret"
[targets.app]
kind = "sqlite"
path = "app.db"
[[phase]]
name = "all"
layer = "storage"
[[phase.step]]
id = "row"
use = "sqlite.rows"
target = "app"
with = { table = "t", key = ["k"], rows = [{ k = "${env.SERVICE_TOKEN}", v = "x${env.SERVICE_TOKEN}y" }] }
"#;
    let run = |system: &System, command: &str, args: &[&str], code: i32| {
        let ran =
            cutover_tests::run(system.command(command, args).env("SERVICE_TOKEN", "s3cr\"et\\va'l")).expect_code(code);
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.contains("s3cr"), "{command} {args:?} shows the secret:\n{text}");
        }
        ran.stdout
    };
    let system = System::new("CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT)", PLAN);
    run(&system, "apply", &[], 0);
    system.ask("UPDATE t SET v = 'another'");
    assert!(run(&system, "verify", &[], 102).contains("***"));
    assert!(run(&system, "verify", &["--format", "json"], 102).contains("***"));
    system.ask("DELETE FROM t");
    assert!(run(&system, "verify", &[], 102).contains("***"));

    // What verify says after an apply is kept.
    let changed = System::new(
        "CREATE TABLE t (k TEXT PRIMARY KEY, v TEXT);
         CREATE TRIGGER changes AFTER INSERT ON t BEGIN UPDATE t SET v = 'another'; END",
        PLAN,
    );
    run(&changed, "apply", &[], 100);
    let kept = changed.ask("SELECT count(*) FROM cutover_ledger WHERE error_message LIKE '%***%'");
    assert_eq!(kept, "1", "the ledger says what verify said");
    assert_eq!(changed.ask("SELECT count(*) FROM cutover_ledger WHERE error_message LIKE '%s3cr%'"), "0");
    assert!(!run(&changed, "history", &["--format", "json"], 0).is_empty());
}
