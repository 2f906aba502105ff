//! The facts as a page: headings, tables, drawings. What is said, and in which order; not how it is written.

use std::collections::BTreeMap;

use cutover_core::journal::RunCommand;
use jiff::Timestamp;

use super::Kind;
use super::chart::number;
use super::facts::{Facts, Phase, Target};
use super::gates::{Gate, Series};
use super::incidents::Incident;
use crate::style::{count, duration};

/// A part of a page.
#[derive(Debug)]
pub(super) enum Block<'a> {
    Title(String),
    Lead(String),
    /// A headline figure and what it is of, each with whether it is good.
    Figures(Vec<(String, &'static str, Tone)>),
    Heading(String),
    Smaller(String),
    Text(String),
    /// Text as somebody wrote it.
    Verbatim(String),
    Table(&'static [&'static str], Vec<Vec<Cell>>),
    /// Lines of a timeline: when, what, to which step, and what more there is to say.
    Log(Vec<[String; 4]>),
    Chart(&'a Series),
}

/// A cell of a table.
#[derive(Debug)]
pub(super) enum Cell {
    Text(String),
    /// A moment.
    Time(String),
    Code(String),
    /// A word about how something stands.
    Word(String, Tone),
    /// So much of so much.
    Bar(usize, usize),
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
}

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn moment(at: Timestamp) -> Cell {
    Cell::Time(time(at))
}

fn time_or(at: Option<Timestamp>, none: &str) -> Cell {
    Cell::Time(at.map_or_else(|| none.to_owned(), time))
}

/// The whole page.
pub(super) fn of(facts: &Facts) -> Vec<Block<'_>> {
    let mut page = Vec::new();
    let name = match facts.kind {
        Kind::Daily => "Daily report",
        Kind::Weekly => "Weekly report",
        Kind::Milestone => "Milestone report",
        Kind::Incident => "Incident report",
        Kind::Final => "Final report",
    };
    page.push(Block::Title(format!("{name}: {}", facts.plan)));
    let from = facts.from.map(|from| format!("{} to ", time(from))).unwrap_or_default();
    let summary = facts.summary.as_ref().map(|s| format!("{}. ", s.trim_end_matches('.'))).unwrap_or_default();
    page.push(Block::Lead(format!("{summary}{from}{} UTC.", time(facts.until))));
    page.push(Block::Figures(figures(facts)));
    if facts.kind == Kind::Incident {
        incidents(facts, &mut page);
        gates(facts, &mut page);
        recoveries(facts, &mut page);
        risks(facts, &mut page);
        progress(facts, &mut page);
    } else {
        progress(facts, &mut page);
        gates(facts, &mut page);
        incidents(facts, &mut page);
        recoveries(facts, &mut page);
        approvals(facts, &mut page);
        risks(facts, &mut page);
        targets(facts, &mut page);
        runs(facts, &mut page);
    }
    if let Some(lessons) = &facts.lessons {
        page.push(Block::Heading("Lessons".to_owned()));
        page.push(Block::Verbatim(lessons.trim().to_owned()));
    }
    page
}

fn figures(facts: &Facts) -> Vec<(String, &'static str, Tone)> {
    let done = facts.phases.iter().filter(|p| p.is_done()).count();
    let all = facts.phases.len();
    let (applied, steps) = facts.phases.iter().fold((0, 0), |(a, s), p| (a + p.applied + p.skipped, s + p.steps));
    let tone = |good: bool| if good { Tone::Good } else { Tone::Plain };
    let (outcome, how) = outcome(facts.outcome.as_deref());
    let back = facts.runs.last().is_some_and(|run| run.command == RunCommand::Rollback);
    let broke: usize = facts.gates.iter().flat_map(|g| &g.series).map(|s| s.broke.len()).sum();
    let longest = facts.recoveries.iter().filter_map(|r| r.seconds).max_by(f64::total_cmp);
    let mut figures = vec![
        (outcome, if back { "last run, a rollback" } else { "last run" }, how),
        (format!("{done} of {all}"), "phases done", tone(done == all)),
        (format!("{applied} of {steps}"), "steps done", tone(applied == steps)),
        (
            facts.incidents.len().to_string(),
            "incidents",
            if facts.incidents.is_empty() { Tone::Good } else { Tone::Bad },
        ),
    ];
    if !facts.gates.is_empty() {
        figures.push((broke.to_string(), "samples out of bounds", if broke == 0 { Tone::Good } else { Tone::Bad }));
    }
    if let Some(seconds) = longest {
        figures.push((duration(seconds), "longest way back", Tone::Plain));
    }
    figures
}

fn outcome(word: Option<&str>) -> (String, Tone) {
    let tone = match word {
        Some("done" | "nothing-to-do") => Tone::Good,
        Some("waiting" | "interrupted" | "unwound") => Tone::Warn,
        Some(_) => Tone::Bad,
        None => Tone::Plain,
    };
    (word.map_or_else(|| "none ended".to_owned(), |word| word.replace('-', " ")), tone)
}

fn progress(facts: &Facts, page: &mut Vec<Block<'_>>) {
    page.push(Block::Heading("Progress".to_owned()));
    let row = |phase: &Phase| {
        let state = match () {
            () if phase.is_done() => Cell::Word("done".to_owned(), Tone::Good),
            () if !phase.open.is_empty() => Cell::Word(open(phase), Tone::Warn),
            () if phase.applied > 0 => Cell::Word("begun".to_owned(), Tone::Plain),
            () => Cell::Word("to come".to_owned(), Tone::Plain),
        };
        let took = if phase.applied > 0 { duration(phase.worked) } else { String::new() };
        vec![
            text(phase.name.clone()),
            Cell::Bar(phase.applied + phase.skipped, phase.steps),
            state,
            time_or(phase.began.filter(|_| phase.applied > 0 || !phase.open.is_empty()), ""),
            time_or(phase.ended, ""),
            text(took),
        ]
    };
    let head = &["phase", "steps", "state", "began", "ended", "work"];
    page.push(Block::Table(head, facts.phases.iter().map(row).collect()));
}

/// The steps of a phase that are neither done nor to come, by what they are: each by its name, or how many.
fn open(phase: &Phase) -> String {
    let mut by_state: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, state) in &phase.open {
        by_state.entry(state).or_default().push(id);
    }
    let told = |(state, steps): (&&str, &Vec<&str>)| match steps.len() {
        0..=3 => steps.iter().map(|id| format!("{id}: {state}")).collect::<Vec<_>>().join(", "),
        many => format!("{many} {state}"),
    };
    by_state.iter().map(told).collect::<Vec<_>>().join(", ")
}

fn gates<'a>(facts: &'a Facts, page: &mut Vec<Block<'a>>) {
    if facts.gates.is_empty() {
        return;
    }
    page.push(Block::Heading("Gates".to_owned()));
    for gate in &facts.gates {
        page.push(Block::Smaller(format!("{} ({})", gate.step, gate.state)));
        page.push(Block::Text(about(gate)));
        for trigger in &gate.triggers {
            let line = format!("{}: {} fired ({}): {}", time(trigger.at), trigger.probe, trigger.action, trigger.why);
            page.push(Block::Text(line));
        }
        for series in &gate.series {
            page.push(Block::Text(described(series)));
            // One sample is no course of anything.
            if series.samples.len() > 1 {
                page.push(Block::Chart(series));
            }
        }
    }
}

fn about(gate: &Gate) -> String {
    let samples = gate.series.iter().map(|s| s.samples.len()).max().unwrap_or(0);
    let opened = gate.opened.map(|at| format!(" since {}", time(at))).unwrap_or_default();
    let length = gate.length.map(|s| format!(", a window of {}", window(s))).unwrap_or_default();
    format!("{}{opened}{length}", count(samples, "sample"))
}

fn window(seconds: f64) -> String {
    match seconds {
        s if s >= 172_800.0 => format!("{:.0} days", s / 86_400.0),
        s if s >= 7_200.0 => format!("{:.0} h", s / 3_600.0),
        s if s >= 120.0 => format!("{:.0} min", s / 60.0),
        s => format!("{s:.0} s"),
    }
}

fn described(series: &Series) -> String {
    let unit = series.unit.as_ref().map(|u| format!(" {u}")).unwrap_or_default();
    let mut parts = vec![];
    if let Some([least, median, p95, greatest]) = series.figures() {
        let [least, median, p95, greatest] = [least, median, p95, greatest].map(number);
        parts.push(format!("{least} to {greatest}{unit}, median {median}, p95 {p95}"));
    }
    let bound = |what: &str, value: Option<f64>| value.map(|v| format!("{what} {}", number(v)));
    parts.extend(bound("at least", series.min));
    parts.extend(bound("at most", series.max));
    parts.extend(bound("baseline", series.baseline));
    if series.missed() > 0 {
        parts.push(format!("{} without an answer", count(series.missed(), "sample")));
    }
    if let Some((at, why)) = series.broke.first() {
        let when = series.samples.get(*at).map(|(at, _)| time(*at)).unwrap_or_default();
        parts.push(format!("{} out of bounds, the first at {when}: {why}", series.broke.len()));
    }
    format!("{}: {}", series.probe, parts.join("; "))
}

fn incidents<'a>(facts: &'a Facts, page: &mut Vec<Block<'a>>) {
    if facts.incidents.is_empty() {
        if facts.kind == Kind::Incident {
            page.push(Block::Text("There was no incident.".to_owned()));
        }
        return;
    }
    page.push(Block::Heading("Incidents".to_owned()));
    for incident in &facts.incidents {
        let first = &incident.failures[0];
        page.push(Block::Smaller(format!("{}: step {} failed", time(incident.began), first.step)));
        page.push(Block::Text(came_to(incident)));
        for failure in &incident.failures {
            let way = if failure.in_rollback { "going back" } else { "going forward" };
            page.push(Block::Text(format!("{}: {}, {way}", time(failure.at), failure.step)));
            page.push(Block::Verbatim(failure.error.clone()));
            page.extend(failure.help.as_ref().map(|help| Block::Text(format!("What to do: {help}"))));
        }
        let watched = facts.risks.iter().filter(|r| r.risk.watched_by.contains(&first.step));
        page.extend(watched.map(|w| {
            Block::Text(format!("Foreseen as a risk: {} ({}). {}", w.risk.risk, w.risk.impact, w.risk.mitigation))
        }));
        // The error stands above, whole.
        let brief = |more: &str| more.lines().next().unwrap_or_default().to_owned();
        let row =
            |line: &super::incidents::Line| [time(line.at), line.what.clone(), line.step.clone(), brief(&line.more)];
        page.push(Block::Log(incident.timeline.iter().map(row).collect()));
    }
}

fn came_to(incident: &Incident) -> String {
    let end = match (&incident.outcome, incident.ended) {
        (Some(outcome), Some(at)) => {
            let took = duration(at.duration_since(incident.began).as_secs_f64());
            format!("The run ended after {took}: {}.", outcome.replace('-', " "))
        }
        _ => "The run did not record its end.".to_owned(),
    };
    let mended = incident.mended.map(|at| format!(" The step was applied at {}.", time(at))).unwrap_or_default();
    format!("{end}{mended}")
}

fn recoveries(facts: &Facts, page: &mut Vec<Block<'_>>) {
    if facts.recoveries.is_empty() {
        return;
    }
    page.push(Block::Heading("Ways back (RTO, as measured)".to_owned()));
    let row = |r: &super::incidents::Recovery| {
        let took = r.seconds.map_or_else(|| Cell::Word("not ended".to_owned(), Tone::Bad), |s| text(duration(s)));
        let why = if r.after_failure { "a failure" } else { "on request" };
        vec![moment(r.began), text(r.to.clone()), text(why), text(r.undone.to_string()), took]
    };
    let head = &["began", "to", "because of", "steps undone", "took"];
    page.push(Block::Table(head, facts.recoveries.iter().map(row).collect()));
    let budgets: Vec<_> = facts.recoveries.iter().filter_map(|r| Some((r, r.budget.as_ref()?))).collect();
    if budgets.is_empty() {
        return;
    }
    page.push(Block::Heading("Time budgets, from the failure on".to_owned()));
    let row = |(r, budget): &(&super::incidents::Recovery, &super::incidents::Budget)| {
        let over = budget.took.exceeds(budget.allowed);
        let each = budget.took.each().into_iter().zip(budget.allowed.each()).map(|((name, took), (_, most))| {
            match (took, most) {
                (Some(took), Some(most)) => {
                    let tone = if over.contains(&name) { Tone::Bad } else { Tone::Good };
                    Cell::Word(format!("{} of {}", duration(took), duration(most)), tone)
                }
                _ => text(""),
            }
        });
        std::iter::once(moment(r.began)).chain(each).collect()
    };
    page.push(Block::Table(&["way back began", "assess", "decide", "execute"], budgets.iter().map(row).collect()));
}

fn approvals(facts: &Facts, page: &mut Vec<Block<'_>>) {
    if facts.approvals.is_empty() {
        return;
    }
    page.push(Block::Heading("Approvals".to_owned()));
    let row = |a: &super::facts::Approval| {
        let word = if a.approved { ("approved", Tone::Good) } else { ("rejected", Tone::Bad) };
        let word = Cell::Word(word.0.to_owned(), word.1);
        vec![moment(a.at), text(a.step.clone()), word, text(a.by.clone()), text(a.note.clone())]
    };
    page.push(Block::Table(&["at", "step", "", "by", "note"], facts.approvals.iter().map(row).collect()));
}

fn risks(facts: &Facts, page: &mut Vec<Block<'_>>) {
    if facts.risks.is_empty() {
        return;
    }
    page.push(Block::Heading("Risks".to_owned()));
    let row = |w: &super::facts::Watched| {
        let watched: Vec<String> = w.watchers.iter().map(|(id, state)| format!("{id}: {state}")).collect();
        let bad = w.watchers.values().any(|s| matches!(s.as_str(), "failed" | "stuck" | "waiting"));
        vec![
            text(w.risk.risk.clone()),
            text(w.risk.likelihood.name()),
            text(w.risk.impact.clone()),
            text(w.risk.mitigation.clone()),
            Cell::Word(watched.join(", "), if bad { Tone::Warn } else { Tone::Plain }),
        ]
    };
    let head = &["risk", "likelihood", "impact", "mitigation", "watched by"];
    page.push(Block::Table(head, facts.risks.iter().map(row).collect()));
}

fn targets(facts: &Facts, page: &mut Vec<Block<'_>>) {
    if facts.targets.is_empty() {
        return;
    }
    page.push(Block::Heading("Fingerprints".to_owned()));
    let short = |digest: &Option<String>, none: &str| match digest {
        Some(digest) => Cell::Code(digest.chars().take(16).collect()),
        None => text(none),
    };
    let row = |target: &Target| {
        let same = match (&target.before, &target.now) {
            (Some(before), Some(now)) if before == now => text("as it was"),
            (Some(_), Some(_)) => text("changed"),
            _ => text(""),
        };
        let before = short(&target.before, "no snapshot");
        vec![
            text(target.name.clone()),
            text(target.kind.clone()),
            time_or(target.before_at, ""),
            before,
            short(&target.now, "cannot be read"),
            same,
        ]
    };
    let head = &["target", "kind", "first snapshot", "structure then", "structure now", ""];
    page.push(Block::Table(head, facts.targets.iter().map(row).collect()));
    let number = |n: Option<u64>| text(n.map_or_else(String::new, |n| n.to_string()));
    let moved = |target: &Target| {
        let differ = target.counts.iter().filter(|(_, (before, now))| before != now);
        let row = |(part, (before, now)): (&String, &(Option<u64>, Option<u64>))| {
            vec![text(target.name.clone()), text(part.clone()), number(*before), number(*now)]
        };
        differ.map(row).collect::<Vec<_>>()
    };
    // Where a snapshot names its parts otherwise than the run's end does there is nothing to compare.
    let compared = |target: &&Target| target.counts.values().any(|(then, now)| then.is_some() && now.is_some());
    let rows: Vec<_> = facts.targets.iter().filter(compared).flat_map(moved).collect();
    if !rows.is_empty() {
        page.push(Block::Text("Rows, records and files where they are not as many as then:".to_owned()));
        page.push(Block::Table(&["target", "part", "then", "at the last run's end"], rows));
    }
}

fn runs(facts: &Facts, page: &mut Vec<Block<'_>>) {
    if !facts.runs.is_empty() {
        page.push(Block::Heading("Runs".to_owned()));
        let row = |run: &super::facts::Ran| {
            let (word, tone) = match &run.outcome {
                Some(word) => outcome(Some(word)),
                None => ("no end recorded".to_owned(), Tone::Warn),
            };
            let command = format!("{:?}", run.command).to_lowercase();
            let took = run.ended.map(|end| duration(end.duration_since(run.began).as_secs_f64())).unwrap_or_default();
            let who = format!("{} on {}", run.operator, run.host);
            vec![moment(run.began), text(command), text(who), Cell::Word(word, tone), text(took)]
        };
        page.push(Block::Table(&["began", "command", "by", "ended", "took"], facts.runs.iter().map(row).collect()));
    }
    if !facts.unheard.is_empty() {
        page.push(Block::Heading("Nobody was told".to_owned()));
        let row =
            |u: &super::facts::Unheard| vec![moment(u.at), text(u.notifier.clone()), text(u.on), text(u.error.clone())];
        page.push(Block::Table(&["at", "notifier", "of", "why"], facts.unheard.iter().map(row).collect()));
    }
}
