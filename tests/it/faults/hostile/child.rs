//! The program on a hostile plan: how long it may take, how much memory, and how it may end.

use std::fs;
use std::io::Read as _;
use std::process::Child;
use std::time::{Duration, Instant};

use cutover_tests::{Ran, Tree, sqlite3};

use crate::faults::tally::Tally;
use crate::system::{System, folder_in_memory};

/// After so long on a processor it does not end: a debug build.
const LIMIT: Duration = Duration::from_secs(60);

/// After so long it waits for what never comes, however much else the machine has to do.
const PATIENCE: Duration = Duration::from_secs(600);

/// KiB of memory that no plan may make it take.
const MOST_MEMORY: u64 = 1 << 20;

/// The documented codes.
const CODES: &[i32] = &[0, 2, 3, 65, 66, 70, 75, 100, 101, 102, 103, 104];

/// A plan, its root, and what lies around both.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) system: System,
}

impl Scene {
    /// With `precious` in the database and around the root.
    pub(super) fn new(plan: &str) -> Self {
        let sql = "CREATE TABLE precious (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO precious VALUES (1, 'kept');";
        let system = System::in_folder(folder_in_memory(), sql, plan);
        fs::create_dir_all(system.root().join("logs")).unwrap();
        system.write_root("logs/a.log", "a log");
        system.write_root("s.json", "{ \"a\": 1 }");
        fs::create_dir_all(system.root().join("../around/logs")).unwrap();
        system.write_root("../around/s.json", "{ \"a\": \"around\" }");
        system.write_root("../around/logs/a.log", "a log of somebody else");
        sqlite3(system.root().join("../around/app.db"), sql);
        Self { system }
    }

    /// What is not the plan's business. The root is not looked at: it may change meanwhile.
    pub(super) fn around(&self) -> Tree {
        Tree::of(&self.system.root().join("../around"))
    }

    /// Runs a command to an end that is documented.
    pub(super) fn run(&self, command: &str, args: &[&str]) -> Result<Ran, String> {
        self.end(self.system.start(command, args))
    }

    fn end(&self, child: Child) -> Result<Ran, String> {
        let (ran, memory) = ended(child)?;
        let seen = || self.system.seen(&ran).chars().take(4000).collect::<String>();
        match ran.code {
            _ if ran.stderr.contains("panicked") => Err(format!("it panicked: {}", seen())),
            Some(code) if !CODES.contains(&code) => Err(format!("{code} is not documented: {}", seen())),
            Some(70) => Err(format!("a defect of ours: {}", seen())),
            None => Err(format!("it was killed: {}", seen())),
            Some(_) if memory > MOST_MEMORY => Err(format!("it took {memory} KiB")),
            Some(_) => Ok(ran),
        }
    }

    /// A command, and that nothing around was touched.
    pub(super) fn meet(&self, name: &str, command: &str, args: &[&str], tally: &mut Tally) -> Option<Ran> {
        let before = self.around();
        tally.faults += 1;
        let ran = self.run(command, args);
        let touched = before.differences(&self.around());
        let result = match &ran {
            Err(why) => Err(why.clone()),
            Ok(_) if !touched.is_empty() => Err(format!("touched what is not its own: {}", touched.join("; "))),
            Ok(_) => Ok(()),
        };
        tally.way_out(
            &format!("{name}/{command}"),
            result,
            &ran.as_ref().map_or(String::new(), |r| self.system.seen(r)),
        );
        ran.ok()
    }
}

/// What a program said, and the most memory that it took, in KiB.
pub(super) fn ended(mut child: Child) -> Result<(Ran, u64), String> {
    let until = Instant::now() + PATIENCE;
    let read = |mut pipe: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
        })
    };
    let (stdout, stderr) = (read(Box::new(child.stdout.take().unwrap())), read(Box::new(child.stderr.take().unwrap())));
    let mut memory = 0;
    let status = loop {
        memory = memory.max(most_memory(child.id()));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() > until || time_on_processors(child.id()) > LIMIT => {
                child.kill().unwrap();
                child.wait().unwrap();
                return Err(format!("it hangs: no end in {LIMIT:?} on a processor, or in {PATIENCE:?}"));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let ran = Ran { code: status.code(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() };
    Ok((ran, memory))
}

fn time_on_processors(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // After the name, which may hold anything: the 14th and 15th field are of this, in hundredths of a second.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

fn most_memory(pid: u32) -> u64 {
    let mut status = String::new();
    let read = fs::File::open(format!("/proc/{pid}/status")).and_then(|mut file| file.read_to_string(&mut status));
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    read.ok().and(line).and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// A plan on `app.db` and the folder, with these steps in one phase.
pub(super) fn plan(layer: &str, steps: &str) -> String {
    format!(
        "name = \"hostile\"\n[targets.app]\nkind = \"sqlite\"\npath = \"app.db\"\n\
         [[phase]]\nname = \"p\"\nlayer = \"{layer}\"\n{steps}"
    )
}

pub(super) fn step(id: &str, rest: &str) -> String {
    format!("[[phase.step]]\nid = \"{id}\"\n{rest}\n")
}

/// A text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap().replace('\u{7f}', "\\u007f")
}
