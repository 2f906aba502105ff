//! kill -9 from outside, at any time: a command and those that go on from it are killed, then one runs to its end.
//!
//! A combination is a plan, its journal mode, how many steps run at once, and up to four commands with their kills:
//! `random/PLAN/MODE/jobs-N/apply-350/rollback-120` is its name. A kill comes after so many thousandths of the time that
//! the undisturbed command took here. The seed draws which are met; `CUTOVER_RANDOM_KILLS` says how many kills. The same
//! name again is the same story, and as near the same time as a clock can tell: it is told several times.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::super::choice::Choice;
use super::super::failure::Failure;
use super::super::fault::Fault;
use super::super::kinds::{Axes, Row};
use super::super::lab::{Lab, Line, World};
use super::super::plans::Small;
use super::super::tally::Tally;
use crate::system::folder_in_memory;

/// A program that a killed runner had started is waited for.
const APPLY: Line = ("apply", &["--lock-timeout", "60s"]);
const BACK: Line = ("rollback", &["--to", "start", "--yes", "--lock-timeout", "60s"]);

const BACK_ACCEPTING: Line = ("rollback", &["--to", "start", "--yes", "--lock-timeout", "60s", "--accept-loss"]);

const PART: &str = "random";
/// Kills in a sample, and where everything is met.
const SAMPLE: usize = 200;
const ALL: usize = 2_000;
/// How many kills a plan that is set up is good for, in a sample.
const OF_EACH: usize = 8;
/// How often a story that is asked for by name is told.
const AGAIN: usize = 10;
/// A kill that comes late kills nothing: after so many for each that is wanted it is given up.
const PATIENCE: usize = 4;
const WORKERS: usize = 3;

#[test]
fn a_kill_at_any_time_leaves_both_ways_open() {
    let choice = Choice::of_environment();
    let asked = choice.name().map(|name| Story::named(name.strip_prefix("random/")));
    let stages = Stage::all();
    let met = Mutex::new(Tally::default());
    let add = |tally| met.lock().unwrap().add(tally);
    if let Some(asked) = asked {
        if let Some((stage, story)) =
            asked.as_ref().and_then(|(stage, story)| Some((stages.iter().find(|s| s.name == *stage)?, story)))
        {
            let mut ready = Ready::new(stage);
            (0..AGAIN).for_each(|_| add(ready.tell(&choice, story)));
        }
    } else {
        let wanted =
            std::env::var("CUTOVER_RANDOM_KILLS").ok().map(|n| n.parse().expect("CUTOVER_RANDOM_KILLS is a number"));
        let wanted = wanted.unwrap_or(if choice.all() { ALL } else { SAMPLE });
        let mut stages: Vec<&Stage> = stages.iter().filter(|stage| choice.all() || !stage.sled).collect();
        stages.sort_by_cached_key(|s| (!s.always, choice.draw(&s.name, usize::MAX)));
        let (rounds, next) = (Rounds::of(wanted, stages.len()), AtomicUsize::new(0));
        let worker = || {
            loop {
                let round = next.fetch_add(1, Ordering::Relaxed);
                if round >= rounds.count {
                    break;
                }
                add(round_of(&choice, stages[round], rounds.kills(round)));
                if wanted > SAMPLE {
                    tell_progress(&met.lock().unwrap(), wanted);
                }
            }
        };
        std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(worker))));
    }
    met.into_inner().unwrap().end("B", "kill -9 at random times", &choice);
}

/// How the kills that are wanted are shared out.
#[derive(Debug)]
struct Rounds {
    wanted: usize,
    count: usize,
}

impl Rounds {
    fn of(wanted: usize, stages: usize) -> Self {
        Self { wanted, count: (wanted / OF_EACH).clamp(1, stages) }
    }

    fn kills(&self, round: usize) -> usize {
        self.wanted / self.count + usize::from(round < self.wanted % self.count)
    }
}

/// Whoever waits for hours wants to see that it goes on, and what was found by now.
#[expect(clippy::print_stdout, reason = "whoever runs it wants to see it: `cargo test -- --nocapture`")]
fn tell_progress(met: &Tally, wanted: usize) {
    let lost = met.failures.iter().map(Failure::line).map(|line| format!("\n{line}")).collect::<String>();
    println!("{} of {wanted} kills, {} lost{lost}", met.faults, met.failures.len());
}

/// So many kills on one stage.
fn round_of(choice: &Choice, stage: &Stage, kills: usize) -> Tally {
    let mut met = Tally::default();
    let mut ready = Ready::new(stage);
    for i in 0..kills * PATIENCE {
        if met.faults >= kills {
            break;
        }
        met.add(ready.tell(choice, &Story::drawn(choice, &format!("{PART}/{}/{i}", stage.name))));
    }
    met
}

/// A plan and a journal mode.
#[derive(Debug)]
struct Stage {
    name: String,
    small: Small,
    wal: bool,
    left_before: &'static [&'static str],
    /// Whether no sample goes without it.
    always: bool,
    /// A kill may damage its store: met where everything is.
    sled: bool,
}

impl Stage {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        let mut stages = |small: Small, mode: &str, wal, left_before, sled| {
            let always = ["cortex", "large"].contains(&small.name.as_str());
            all.push(Self { name: format!("{}/{mode}", small.name), small, wal, left_before, always, sled });
        };
        for (mode, wal) in [("delete", false), ("wal", true)] {
            for small in Small::all().into_iter().chain([Small::large()]) {
                stages(small, mode, wal, &[], false);
            }
        }
        stages(Small::cortex(), "delete", false, &[], false);
        for row in Row::all() {
            for axes in Axes::ALL {
                let mode = axes.name().replace('/', "-");
                stages(row.plan(axes), &mode, axes.wal, row.left_before(), row.writes_sled());
            }
        }
        all
    }
}

/// Commands, each with the thousandths of its time after which it is killed.
#[derive(Debug)]
struct Story {
    jobs: usize,
    kills: Vec<(bool, usize)>,
}

impl Story {
    fn drawn(choice: &Choice, seed: &str) -> Self {
        let draw = |what: &str, limit| choice.draw(&format!("{seed}/{what}"), limit);
        let jobs = 1 + draw("jobs", 4);
        // Most are killed once; some go on to be killed, up to three times in a row.
        let length = [1, 1, 1, 2, 2, 3, 4][draw("length", 7)];
        let mut forth = draw("first", 3) > 0;
        let kills = (0..length).map(|i| {
            forth ^= i > 0 && draw(&format!("turn-{i}"), 4) == 0;
            (forth, draw(&format!("time-{i}"), 1_000))
        });
        Self { jobs, kills: kills.collect() }
    }

    /// The stage and the story of a name.
    fn named(name: Option<&str>) -> Option<(String, Self)> {
        let parts: Vec<&str> = name?.split('/').collect();
        let [plan, mode, jobs, kills @ ..] = &parts[..] else { return None };
        let kill = |part: &&str| {
            let (command, time) = part.rsplit_once('-')?;
            Some((command == APPLY.0, time.parse().ok()?))
        };
        let kills = kills.iter().map(kill).collect::<Option<Vec<_>>>()?;
        Some((format!("{plan}/{mode}"), Self { jobs: jobs.strip_prefix("jobs-")?.parse().ok()?, kills }))
    }

    fn name(&self, stage: &Stage) -> String {
        let kills = self.kills.iter().map(|(forth, time)| format!("/{}-{time}", line(*forth).0));
        format!("{PART}/{}/jobs-{}{}", stage.name, self.jobs, kills.collect::<String>())
    }
}

fn line(forth: bool) -> Line {
    if forth { APPLY } else { BACK }
}

/// A stage, set up: as it is before and after an apply, and how long the commands take.
#[derive(Debug)]
struct Ready<'a> {
    stage: &'a Stage,
    lab: Lab<'a>,
    folder: tempfile::TempDir,
    before: World,
    after: World,
    times: [Duration; 2],
    /// How often the present way out had to be told more than the command.
    settled: usize,
}

impl<'a> Ready<'a> {
    fn new(stage: &'a Stage) -> Self {
        let mut lab = Lab::new(&stage.small, stage.wal);
        let folder = folder_in_memory();
        stage.left_before.iter().for_each(|path| lab.leave(path));
        let before = lab.world();
        lab.keep(&folder.path().join("before"));
        let timed = |lab: &mut Lab<'_>, line, ends| {
            let start = Instant::now();
            lab.expect(line, ends).unwrap_or_else(|why| panic!("{}: undisturbed {why}\n{}", stage.name, lab.trail()));
            start.elapsed()
        };
        let apply = timed(&mut lab, APPLY, stage.small.ends);
        let after = lab.world();
        lab.keep(&folder.path().join("after"));
        let rollback = timed(&mut lab, BACK, 0);
        Self { stage, lab, folder, before, after, times: [apply, rollback], settled: 0 }
    }

    /// The commands, killed; then the last one again, and the other.
    fn tell(&mut self, choice: &Choice, story: &Story) -> Tally {
        let mut met = Tally::default();
        let name = story.name(self.stage);
        let Some((first, _)) = story.kills.first().copied() else { return met };
        self.lab.put_back(&self.folder.path().join(if first { "before" } else { "after" }), "");
        self.lab.with_jobs(story.jobs);
        let mut last = first;
        for (forth, time) in &story.kills {
            last = *forth;
            let whole = self.times[usize::from(!forth)];
            let after = whole.mul_f64(f64::from(u32::try_from(*time).unwrap()) / 1_000.0);
            let killed = self.lab.run_with(line(*forth), &Fault::kill_after(after)) == Fault::KILLED_BY_OTHERS;
            if !killed {
                break;
            }
            met.faults += 1;
            // Looking is no small part of the time.
            if (choice.all() || choice.draw(&format!("{name}/look"), 4) == 0)
                && let Err(why) = self.lab.look_while(!self.stage.small.runs_commands())
            {
                met.failures.push(Failure { name: name.clone(), why, trail: self.lab.trail().to_owned() });
            }
        }
        let went_back = story.kills.iter().any(|(forth, _)| !forth);
        self.settled = 0;
        let result = if last {
            self.forth(went_back).and_then(|()| self.back())
        } else {
            self.back().and_then(|()| self.forth(false))
        };
        if met.faults > 0 || result.is_err() {
            met.way_out(&name, result, self.lab.trail());
            met.settled += self.settled;
        }
        met
    }

    /// Everything is applied, once.
    fn forth(&mut self, unwinding: bool) -> Result<(), String> {
        let ends = self.stage.small.ends;
        let code = self.lab.run(APPLY);
        if code != Some(ends) {
            if code == Some(101) && self.asks_about_loss() {
                self.settled += 1;
                self.lab.expect(BACK_ACCEPTING, 0)?;
            // It ends the rollback that was under way, and says so.
            } else if !(unwinding && code == Some(100)) {
                return Err(format!("`apply` ended with {code:?} instead of {ends}"));
            }
            self.lab.expect(APPLY, ends)?;
        } else if unwinding && ends == 100 {
            self.lab.expect(APPLY, ends)?;
        }
        self.lab.agrees(true, false)?;
        if self.stage.small.always_the_same() {
            self.lab.is(&self.after, true)?;
        }
        if ends == 0 { self.lab.expect(("verify", &[]), 0) } else { self.nothing_left() }
    }

    /// Everything is as it was.
    fn back(&mut self) -> Result<(), String> {
        match self.lab.run(BACK) {
            Some(0) => {}
            Some(101) if self.asks_about_loss() => {
                self.settled += 1;
                self.lab.expect(BACK_ACCEPTING, 0)?;
            }
            code => return Err(format!("`rollback` ended with {code:?} instead of 0")),
        }
        self.lab.agrees(true, false)?;
        self.lab.is(&self.before, self.stage.small.always_the_same())?;
        self.nothing_left()
    }

    /// What a command had written when it was killed counts as written by others: the message says so, and how to go on.
    fn asks_about_loss(&self) -> bool {
        self.stage.small.runs_commands() && self.lab.last_said("--accept-loss")
    }

    fn nothing_left(&self) -> Result<(), String> {
        let left = self.lab.left_over();
        if left.is_empty() { Ok(()) } else { Err(format!("left lying about: {}", left.join(", "))) }
    }
}
