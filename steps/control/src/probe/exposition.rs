//! Prometheus' text format, as far as one metric is read from it. Pure.

use std::collections::BTreeMap;

/// The sum of the samples of `metric` that have all of `labels`; none when there is no such sample.
pub(super) fn sum(page: &str, metric: &str, labels: &BTreeMap<String, String>) -> Option<f64> {
    let mut found = None;
    for line in page.lines() {
        let Some((has, value)) = sample(line.trim(), metric) else { continue };
        if labels.iter().all(|(name, wanted)| has.get(name) == Some(wanted)) {
            *found.get_or_insert(0.0) += value;
        }
    }
    found
}

/// Labels and value of a line, if it is a sample of `metric`.
fn sample(line: &str, metric: &str) -> Option<(BTreeMap<String, String>, f64)> {
    let rest = line.strip_prefix(metric)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => read_labels(inside)?,
        None if rest.starts_with([' ', '\t']) => (BTreeMap::new(), rest),
        // Another metric whose name begins alike.
        None => return None,
    };
    let value = rest.split_whitespace().next()?;
    Some((labels, number(value)?))
}

/// `NAME="VALUE",…}`, and what comes behind it.
fn read_labels(text: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, behind) = rest.split_once('=')?;
        let (value, behind) = quoted(behind.trim_start().strip_prefix('"')?)?;
        labels.insert(name.trim().to_owned(), value);
        let behind = behind.trim_start();
        rest = behind.strip_prefix(',').unwrap_or(behind).trim_start();
    }
}

/// A value up to its quote, and what comes behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut letters) = (String::new(), text.char_indices());
    loop {
        match letters.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(match letters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            (_, letter) => value.push(letter),
        }
    }
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_told_by_their_labels_and_added() {
        let page = "# HELP http_requests_total The total.\n# TYPE http_requests_total counter\n\
            http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n\
            http_requests_total{method=\"post\",code=\"400\"} 3\n\
            http_requests_total_more 9\nodd{path=\"C:\\\\a \\\"b\\\"\",} 1.5e2\n up 1\nlate +Inf\n";
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(sum(page, "http_requests_total", &labels(&[])), Some(1030.0));
        assert_eq!(sum(page, "http_requests_total", &labels(&[("code", "400")])), Some(3.0));
        assert_eq!(sum(page, "http_requests_total", &labels(&[("code", "500")])), None);
        assert_eq!(sum(page, "odd", &labels(&[("path", "C:\\a \"b\"")])), Some(150.0));
        assert_eq!(sum(page, "up", &labels(&[])), Some(1.0));
        assert_eq!(sum(page, "late", &labels(&[])), Some(f64::INFINITY));
    }
}
