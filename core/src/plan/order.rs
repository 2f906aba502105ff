//! Pass 3, order: declared needs, those that follow from shared targets, and that nobody waits for himself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::codes;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::meaning::StepView;
use crate::Access;

/// The steps that touched a target last, in file order.
#[derive(Default)]
struct Touched {
    writer: Option<usize>,
    readers: Vec<usize>,
}

/// A declared need: the step (by index) and where the plan says so.
pub(crate) struct Need {
    pub(crate) step: usize,
    pub(crate) span: Range<usize>,
}

/// For each step the steps (by index) that must be done before it: declared ones of its phase or an earlier one, and
/// the nearest before it in its phase that share a target which either of them writes.
///
/// Each step enters the readers of a target once and leaves them once, so the whole is linear.
pub(crate) fn needs(steps: &[StepView<'_>], declared: &[Vec<Need>]) -> Vec<BTreeSet<usize>> {
    let mut needs: Vec<BTreeSet<usize>> =
        declared.iter().map(|ids| ids.iter().map(|need| need.step).collect()).collect();
    let mut phase = usize::MAX;
    let mut touched: BTreeMap<&str, Touched> = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        if step.phase != phase {
            phase = step.phase;
            touched.clear();
        }
        for (target, access) in &step.uses {
            let last = touched.entry(target).or_default();
            match access {
                Access::Read => {
                    needs[at].extend(last.writer);
                    last.readers.push(at);
                }
                Access::Write => {
                    if last.readers.is_empty() {
                        needs[at].extend(last.writer);
                    }
                    needs[at].extend(last.readers.drain(..));
                    last.writer = Some(at);
                }
            }
        }
    }
    needs
}

/// Names each cycle once, step by step.
pub(crate) fn cycles(steps: &[StepView<'_>], needs: &[BTreeSet<usize>], declared: &[Vec<Need>], d: &mut Diagnostics) {
    let mut waiting: Vec<usize> = needs.iter().map(BTreeSet::len).collect();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    for (at, before) in needs.iter().enumerate() {
        before.iter().for_each(|b| after[*b].push(at));
    }
    let mut ready: Vec<usize> = (0..steps.len()).filter(|at| waiting[*at] == 0).collect();
    while let Some(done) = ready.pop() {
        for next in &after[done] {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                ready.push(*next);
            }
        }
    }
    let mut seen = vec![false; steps.len()];
    for start in 0..steps.len() {
        if waiting[start] == 0 || seen[start] {
            continue;
        }
        // Every waiting step needs another waiting one, so this walk comes back to where it has been.
        let mut path: Vec<usize> = Vec::new();
        let mut at = start;
        while !seen[at] {
            seen[at] = true;
            path.push(at);
            match needs[at].iter().copied().find(|b| waiting[*b] > 0) {
                Some(before) => at = before,
                None => break,
            }
        }
        if let Some(begin) = path.iter().position(|p| *p == at) {
            report(steps, declared, &path[begin..], d);
        }
    }
}

fn report(steps: &[StepView<'_>], declared: &[Vec<Need>], cycle: &[usize], d: &mut Diagnostics) {
    let first = cycle.iter().enumerate().min_by_key(|(_, at)| **at).map_or(0, |(i, _)| i);
    let turn: Vec<usize> = cycle[first..].iter().chain(&cycle[..first]).copied().collect();
    let Some(&start) = turn.first() else { return };
    let mut lines = Vec::new();
    let mut place = None;
    for (i, &at) in turn.iter().enumerate() {
        let before = turn.get(i + 1).copied().unwrap_or(start);
        let (id, name) = (steps[at].id, steps[before].id);
        match declared[at].iter().find(|need| need.step == before) {
            Some(need) => {
                place.get_or_insert_with(|| need.span.clone());
                lines.push(format!("`{id}` needs `{name}`"));
            }
            None => lines.push(format!("`{id}` runs after `{name}` (they share a target)")),
        }
    }
    let span = place.unwrap_or_else(|| steps[start].header.clone());
    let message = if turn.len() == 1 {
        format!("step `{}` needs itself", steps[start].id)
    } else {
        format!("these steps wait for each other: {}", lines.join(", "))
    };
    d.push(
        Diagnostic::at(codes::CYCLE, span, message)
            .help("take one of the `needs` away, or move a step: steps of one target run in file order"),
    );
}
