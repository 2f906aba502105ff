//! The text format of Prometheus, version 0.0.4: names, help and labels of all that is counted.

use std::fmt::Write;

use super::figures::{BOUNDS, Figures};

/// What `figures` says.
pub(super) fn write(figures: &Figures) -> String {
    let mut page = Page(String::new());
    page.about("cutover_build_info", "gauge", "The program that serves this.");
    page.line("cutover_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    run(&mut page, figures);
    steps(&mut page, figures);
    gates(&mut page, figures);
    if !figures.unreached.is_empty() {
        page.about("cutover_notices_unreached_total", "counter", "Notices that reached nobody.");
        for (notifier, count) in &figures.unreached {
            page.line("cutover_notices_unreached_total", &[("notifier", notifier)], whole(*count));
        }
    }
    page.0
}

fn run(page: &mut Page, figures: &Figures) {
    page.about("cutover_lock_held", "gauge", "1 while a run of this process holds its locks.");
    page.line("cutover_lock_held", &[], flag(figures.on));
    if let Some(run) = &figures.run {
        page.about("cutover_run_info", "gauge", "The run that is on, or the last one.");
        let resumed = if run.resumed { "true" } else { "false" };
        let labels = [("plan", &*run.plan), ("run", &*run.id), ("command", &*run.command), ("resumed", resumed)];
        page.line("cutover_run_info", &labels, 1.0);
        page.about("cutover_run_start_time_seconds", "gauge", "When it began, since 1970.");
        page.line("cutover_run_start_time_seconds", &[], run.began);
        page.about("cutover_plan_steps", "gauge", "Steps of its plan, by phase.");
        for (phase, count) in &run.steps {
            page.line("cutover_plan_steps", &[("phase", phase)], whole(*count));
        }
        if !run.steps.is_empty() {
            page.about("cutover_phase_active", "gauge", "1 for the phase that is on.");
            for (phase, _) in &run.steps {
                let on = figures.phase.as_ref() == Some(phase);
                page.line("cutover_phase_active", &[("phase", phase)], flag(on));
            }
        }
    }
    if !figures.ended.is_empty() {
        page.about("cutover_runs_total", "counter", "Runs that ended, by how.");
        for (outcome, count) in &figures.ended {
            page.line("cutover_runs_total", &[("outcome", outcome)], whole(*count));
        }
    }
}

fn steps(page: &mut Page, figures: &Figures) {
    page.about("cutover_steps_under_way", "gauge", "Steps that are being applied.");
    page.line("cutover_steps_under_way", &[], whole(figures.under_way.len() as u64));
    page.about("cutover_steps_waiting", "gauge", "Steps that wait.");
    page.line("cutover_steps_waiting", &[], whole(figures.waiting.len() as u64));
    page.about("cutover_steps_total", "counter", "Steps that came to a state.");
    for state in ["applied", "failed", "rolled-back", "skipped", "stopped", "stuck", "waiting"] {
        let count = figures.states.get(state).copied().unwrap_or_default();
        page.line("cutover_steps_total", &[("state", state)], whole(count));
    }
    page.about("cutover_rows_written_total", "counter", "Rows that applied steps wrote.");
    page.line("cutover_rows_written_total", &[], whole(figures.rows));
    page.about("cutover_bytes_written_total", "counter", "Bytes that applied steps wrote.");
    page.line("cutover_bytes_written_total", &[], whole(figures.bytes));
    let known = || figures.under_way.iter().filter_map(|(step, progress)| Some((step, progress.as_ref()?)));
    if known().next().is_some() {
        page.about("cutover_step_progress", "gauge", "Units that a step under way has done.");
        for (step, progress) in known() {
            page.line("cutover_step_progress", &[("step", step), ("unit", &progress.unit)], whole(progress.done));
        }
    }
    let total = || known().filter_map(|(step, progress)| Some((step, &progress.unit, progress.total?)));
    if total().next().is_some() {
        page.about("cutover_step_progress_expected", "gauge", "Units that a step under way has to do.");
        for (step, unit, total) in total() {
            page.line("cutover_step_progress_expected", &[("step", step), ("unit", unit)], whole(total));
        }
    }
    durations(page, figures);
}

fn durations(page: &mut Page, figures: &Figures) {
    const NAME: &str = "cutover_step_duration_seconds";
    if figures.durations.is_empty() {
        return;
    }
    page.about(NAME, "histogram", "How long steps took, by their kind and by what was done.");
    for ((kind, action), found) in &figures.durations {
        let mut below = 0;
        for (bound, class) in BOUNDS.iter().zip(found.classes) {
            below += class;
            let labels = [("kind", &**kind), ("action", action), ("le", &bound.to_string())];
            page.line(&format!("{NAME}_bucket"), &labels, whole(below));
        }
        let labels = [("kind", &**kind), ("action", action), ("le", "+Inf")];
        page.line(&format!("{NAME}_bucket"), &labels, whole(found.count));
        page.line(&format!("{NAME}_sum"), &labels[..2], found.sum);
        page.line(&format!("{NAME}_count"), &labels[..2], whole(found.count));
    }
}

fn gates(page: &mut Page, figures: &Figures) {
    if !figures.readings.is_empty() {
        page.about("cutover_gate_reading", "gauge", "The last reading of a gate's probe; NaN where it gave no figure.");
        for ((step, probe), (reading, _)) in &figures.readings {
            let labels = [("step", &**step), ("probe", &**probe), ("unit", &*reading.unit)];
            page.line("cutover_gate_reading", &labels, reading.figure.unwrap_or(f64::NAN));
        }
        page.about("cutover_gate_reading_ok", "gauge", "1 while the last reading is what it may be.");
        for ((step, probe), (reading, _)) in &figures.readings {
            page.line("cutover_gate_reading_ok", &[("step", step), ("probe", probe)], flag(reading.broke.is_none()));
        }
        page.about("cutover_gate_reading_time_seconds", "gauge", "When it was taken, since 1970.");
        for ((step, probe), (_, at)) in &figures.readings {
            page.line("cutover_gate_reading_time_seconds", &[("step", step), ("probe", probe)], *at);
        }
        page.about("cutover_gate_readings_total", "counter", "Readings of a gate's probes.");
        for ((step, ok), count) in &figures.looked {
            let result = if *ok { "ok" } else { "broken" };
            page.line("cutover_gate_readings_total", &[("step", step), ("result", result)], whole(*count));
        }
    }
    if !figures.triggers.is_empty() {
        page.about("cutover_gate_triggers_total", "counter", "Triggers that fired.");
        for ((step, probe), count) in &figures.triggers {
            page.line("cutover_gate_triggers_total", &[("step", step), ("probe", probe)], whole(*count));
        }
    }
}

fn flag(on: bool) -> f64 {
    if on { 1.0 } else { 0.0 }
}

/// A count as Prometheus has all figures.
fn whole(count: u64) -> f64 {
    count as f64
}

/// The text so far.
struct Page(String);

impl Page {
    fn about(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if i == 0 { '{' } else { ',' });
        }
        self.0.push_str(if labels.is_empty() { " " } else { "} " });
        let _ = match value {
            v if v.is_nan() => writeln!(self.0, "NaN"),
            v if v.is_infinite() => writeln!(self.0, "{}Inf", if v > 0.0 { '+' } else { '-' }),
            v => writeln!(self.0, "{v}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_figures_are_written_as_the_format_has_them() {
        let mut page = Page(String::new());
        page.line("a", &[("b", "c\"d\\e\nf"), ("g", "ü")], 1.5);
        page.line("a", &[], f64::NAN);
        page.line("a", &[], f64::NEG_INFINITY);
        page.line("a", &[], 1e18);
        assert_eq!(page.0, "a{b=\"c\\\"d\\\\e\\nf\",g=\"ü\"} 1.5\na NaN\na -Inf\na 1000000000000000000\n");
    }
}
