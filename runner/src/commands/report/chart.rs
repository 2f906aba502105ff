//! A series of samples as a small drawing: an SVG without scripts and fonts of its own, or a row of blocks for text.

use std::fmt::Write as _;

use super::gates::Series;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 96.0;
/// Room for the figures of the scale.
const LEFT: f64 = 58.0;
const PAD: f64 = 8.0;

/// Buckets that are drawn at most: what is finer is not seen, and a week of samples of twenty probes stays small.
const BUCKETS: usize = 240;

/// What is drawn of one stretch of time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    x: f64,
    least: f64,
    greatest: f64,
    mean: f64,
}

/// An SVG of the series: a band from the least to the greatest, a line of means, the bounds, what broke them.
pub(super) fn svg(series: &Series) -> String {
    let Some((low, high)) = scale(series) else { return String::new() };
    let y = |value: f64| PAD + (HEIGHT - 2.0 * PAD) * (1.0 - (value - low) / (high - low));
    let buckets = buckets(series);
    let mut svg = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH:.0} {HEIGHT:.0}\" role=\"img\" aria-label=\"{}\">",
        super::html::escape(&format!("samples of {}", series.probe))
    );
    for value in [high, low] {
        let _ =
            write!(svg, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>", y(value));
        let _ = write!(svg, "<text x=\"{}\" y=\"{:.1}\">{}</text>", LEFT - 6.0, y(value) + 4.0, number(value));
    }
    for (class, value) in [("bound", series.min), ("bound", series.max), ("base", series.baseline)] {
        if let Some(value) = value {
            let _ = write!(
                svg,
                "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>",
                y(value)
            );
        }
    }
    for stretch in stretches(&buckets) {
        let there = stretch.iter().map(|b| format!("{:.1},{:.1}", b.x, y(b.greatest)));
        let back = stretch.iter().rev().map(|b| format!("{:.1},{:.1}", b.x, y(b.least)));
        let band: Vec<String> = there.chain(back).collect();
        let _ = write!(svg, "<polygon class=\"band\" points=\"{}\"/>", band.join(" "));
        let line: Vec<String> = stretch.iter().map(|b| format!("{:.1},{:.1}", b.x, y(b.mean))).collect();
        match stretch.as_slice() {
            [one] => drop(write!(svg, "<circle class=\"one\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2\"/>", one.x, y(one.mean))),
            _ => drop(write!(svg, "<polyline class=\"line\" points=\"{}\"/>", line.join(" "))),
        }
    }
    let broke = series.broke.iter().filter_map(|(at, _)| Some((x(series, *at), series.samples.get(*at)?.1?)));
    // Not more than can be told apart.
    let mut last = f64::MIN;
    for (x, value) in broke {
        if x - last >= 2.0 {
            let _ = write!(svg, "<circle class=\"broke\" cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3\"/>", y(value));
            last = x;
        }
    }
    svg.push_str("</svg>");
    svg
}

/// The series as a row of blocks.
pub(super) fn blocks(series: &Series) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ACROSS: usize = 60;
    let values: Vec<f64> = series.samples.iter().filter_map(|(_, value)| *value).collect();
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    let size = values.len().div_ceil(ACROSS).max(1);
    let block = |part: &[f64]| {
        let top = part.iter().copied().fold(f64::MIN, f64::max);
        let share = if high > low { (top - low) / (high - low) } else { 0.0 };
        BLOCKS[((share * 7.0).round() as usize).min(7)]
    };
    values.chunks(size).map(block).collect()
}

/// What the drawing reaches from and to: samples, bounds and baseline, with a little room.
fn scale(series: &Series) -> Option<(f64, f64)> {
    let values = series.samples.iter().filter_map(|(_, value)| *value);
    let all = values.chain([series.min, series.max, series.baseline].into_iter().flatten()).filter(|v| v.is_finite());
    let (low, high) = all.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return None;
    }
    let room = if high > low { (high - low) * 0.05 } else { high.abs().max(1.0) * 0.1 };
    Some((low - if low == 0.0 { 0.0 } else { room }, high + room))
}

/// The place of sample `at`, by its time.
fn x(series: &Series, at: usize) -> f64 {
    let time = |i: usize| series.samples.get(i).map_or(0, |(at, _)| at.as_millisecond());
    let (first, last) = (time(0), time(series.samples.len().saturating_sub(1)));
    let share = if last > first { (time(at) - first) as f64 / (last - first) as f64 } else { 0.5 };
    LEFT + PAD + (WIDTH - LEFT - 2.0 * PAD) * share
}

/// Samples of one stretch of time together; none where all of them are missing.
fn buckets(series: &Series) -> Vec<Option<Bucket>> {
    let size = series.samples.len().div_ceil(BUCKETS).max(1);
    let bucket = |(number, part): (usize, &[(jiff::Timestamp, Option<f64>)])| {
        let values: Vec<f64> = part.iter().filter_map(|(_, v)| *v).filter(|v| v.is_finite()).collect();
        let (least, greatest) = values.iter().fold((f64::MAX, f64::MIN), |(l, g), v| (l.min(*v), g.max(*v)));
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let x = x(series, number * size + part.len() / 2);
        (!values.is_empty()).then_some(Bucket { x, least, greatest, mean })
    };
    series.samples.chunks(size).enumerate().map(bucket).collect()
}

/// Runs of buckets without a gap.
fn stretches(buckets: &[Option<Bucket>]) -> Vec<Vec<Bucket>> {
    let runs = buckets.split(Option::is_none).map(|run| run.iter().copied().flatten().collect::<Vec<_>>());
    runs.filter(|run| !run.is_empty()).collect()
}

/// A figure in short.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        _ if size >= 1e6 => return format!("{value:.2e}"),
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 1.0 => format!("{value:.2}"),
        _ if size >= 0.001 => format!("{value:.4}"),
        _ if size < f64::MIN_POSITIVE => return "0".to_owned(),
        _ => return format!("{value:.1e}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
