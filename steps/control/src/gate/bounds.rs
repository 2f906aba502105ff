//! What a figure may be: absolute bounds, and bounds that lie around a baseline. Pure.

use cutover_core::BuildError;

use super::figures::shown;

/// How far from a baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Span {
    /// Of the baseline.
    Percent(f64),
    /// In the figure's own unit.
    Plain(f64),
}

/// The bounds of a gate as a plan gives them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Bounds {
    min: Option<f64>,
    max: Option<f64>,
    fall: Option<Span>,
    rise: Option<Span>,
}

/// What a plan says of bounds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Given<'a> {
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) within: Option<&'a str>,
    pub(crate) rise: Option<&'a str>,
    pub(crate) fall: Option<&'a str>,
}

/// What a figure may be, now that the baseline is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Allowed {
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
}

impl Bounds {
    /// The bounds that a plan gives. `prefix` is where they stand ("" or "monitors[2]."), `baseline` whether there is one.
    pub(crate) fn of(given: Given<'_>, prefix: &str, baseline: bool) -> Result<Self, BuildError> {
        let at = |field: &str| format!("{prefix}{field}");
        let span = |field: &str, text: Option<&str>| {
            text.map(|text| {
                span(text).ok_or_else(|| {
                    BuildError::at(at(field), format!("`{text}` is no distance"))
                        .with_help("write a part of the baseline, \"10%\", or a distance in the figure's unit, \"15\"")
                })
            })
            .transpose()
        };
        let within = span("within", given.within)?;
        if within.is_some() && (given.rise.is_some() || given.fall.is_some()) {
            return Err(BuildError::at(at("within"), "`within` is a bound on both sides already")
                .with_help("leave out `rise` and `fall`, or use the two without `within`"));
        }
        let (rise, fall) = (span("rise", given.rise)?.or(within), span("fall", given.fall)?.or(within));
        let this = Self { min: given.min, max: given.max, fall, rise };
        let relative = this.rise.is_some() || this.fall.is_some();
        if this == Self::default() {
            return Err(BuildError::at(prefix.trim_end_matches('.'), "the figure may be anything")
                .with_help("add `min` or `max`, or with a baseline `within`, `rise` or `fall`"));
        }
        if relative && !baseline {
            let field = if within.is_some() { "within" } else { "rise" };
            let field = if this.rise.is_none() { "fall" } else { field };
            return Err(BuildError::at(at(field), "there is no baseline to compare with")
                .with_help("add `baseline = \"ID\"`, an earlier step that uses `gate.baseline`"));
        }
        if this.min.zip(this.max).is_some_and(|(min, max)| min > max) {
            return Err(BuildError::at(at("min"), "no figure is above `min` and below `max`")
                .with_help("make `min` the smaller one"));
        }
        Ok(this)
    }

    /// Whether they lie around a baseline.
    pub(crate) fn is_relative(&self) -> bool {
        self.rise.is_some() || self.fall.is_some()
    }

    /// The bounds as numbers.
    pub(crate) fn allowed(&self, baseline: Option<f64>) -> Allowed {
        let distance = |span: Span, base: f64| match span {
            Span::Percent(percent) => base.abs() * percent / 100.0,
            Span::Plain(plain) => plain,
        };
        let top = self.rise.zip(baseline).map(|(span, base)| base + distance(span, base));
        let bottom = self.fall.zip(baseline).map(|(span, base)| base - distance(span, base));
        let tighter = |a: Option<f64>, b: Option<f64>, pick: fn(f64, f64) -> f64| match (a, b) {
            (Some(a), Some(b)) => Some(pick(a, b)),
            (a, b) => a.or(b),
        };
        Allowed { min: tighter(self.min, bottom, f64::max), max: tighter(self.max, top, f64::min) }
    }

    /// In words, before the baseline is known: "at most 5; at most 10 % above the baseline".
    pub(crate) fn shown(&self, unit: &str) -> String {
        let absolute = Allowed { min: self.min, max: self.max };
        let mut parts = Vec::new();
        if self.min.is_some() || self.max.is_some() {
            parts.push(absolute.shown(unit));
        }
        let text = |span: Span| match span {
            Span::Percent(percent) => shown(percent, "%"),
            Span::Plain(plain) => shown(plain, unit),
        };
        match (self.rise, self.fall) {
            (Some(rise), Some(fall)) if rise == fall => parts.push(format!("within {} of the baseline", text(rise))),
            (rise, fall) => {
                parts.extend(rise.map(|rise| format!("at most {} above the baseline", text(rise))));
                parts.extend(fall.map(|fall| format!("at most {} below the baseline", text(fall))));
            }
        }
        parts.join("; ")
    }
}

impl Allowed {
    /// Whether a figure may be that.
    pub(crate) fn holds(&self, figure: f64) -> bool {
        self.min.is_none_or(|min| figure >= min) && self.max.is_none_or(|max| figure <= max)
    }

    /// "at most 250 ms", "at least 99.9 %", "90 ms to 110 ms".
    pub(crate) fn shown(&self, unit: &str) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{} to {}", shown(min, unit), shown(max, unit)),
            (Some(min), None) => format!("at least {}", shown(min, unit)),
            (None, Some(max)) => format!("at most {}", shown(max, unit)),
            (None, None) => "anything".to_owned(),
        }
    }
}

/// "10%" or "15": not negative.
fn span(text: &str) -> Option<Span> {
    let text = text.trim();
    let (number, span): (&str, fn(f64) -> Span) = match text.strip_suffix('%') {
        Some(number) => (number.trim_end(), Span::Percent),
        None => (text, Span::Plain),
    };
    number.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0).map(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(given: Given<'_>) -> Bounds {
        Bounds::of(given, "", true).unwrap()
    }

    #[test]
    fn a_baseline_moves_the_bounds_and_the_tighter_one_counts() {
        let within = bounds(Given { within: Some("10%"), ..Given::default() });
        assert_eq!(within.allowed(Some(200.0)), Allowed { min: Some(180.0), max: Some(220.0) });
        assert!(within.allowed(Some(200.0)).holds(180.0) && !within.allowed(Some(200.0)).holds(221.0));
        let worse = bounds(Given { rise: Some("5 %"), max: Some(100.0), ..Given::default() });
        assert_eq!(worse.allowed(Some(1000.0)), Allowed { min: None, max: Some(100.0) });
        assert_eq!(worse.allowed(Some(10.0)), Allowed { min: None, max: Some(10.5) });
        // A drop of 15 points, and a negative baseline.
        let points = bounds(Given { fall: Some("15"), ..Given::default() });
        assert_eq!(points.allowed(Some(92.0)), Allowed { min: Some(77.0), max: None });
        assert_eq!(within.allowed(Some(-10.0)), Allowed { min: Some(-11.0), max: Some(-9.0) });
    }

    #[test]
    fn bounds_read_as_a_sentence() {
        let shown = |given| bounds(given).shown("ms");
        assert_eq!(shown(Given { max: Some(250.0), ..Given::default() }), "at most 250 ms");
        assert_eq!(shown(Given { min: Some(1.0), max: Some(2.5), ..Given::default() }), "1 ms to 2.5 ms");
        assert_eq!(shown(Given { within: Some("10%"), ..Given::default() }), "within 10 % of the baseline");
        assert_eq!(
            shown(Given { max: Some(9.0), rise: Some("5%"), fall: Some("3"), ..Given::default() }),
            "at most 9 ms; at most 5 % above the baseline; at most 3 ms below the baseline"
        );
    }
}
