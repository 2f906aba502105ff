//! Masking: no secret of a plan reaches output, journal or report, plain or encoded.
//!
//! Owns the list of encodings. A secret is masked however short it is, as it stands and as text escapes it; hex and the
//! inside of a longer base64 text are looked for from [`LONG`] bytes on, for less would hide what merely resembles it.
//! A number of a JSON document is masked when it equals a secret of at least [`NUMBER`] bytes.

use std::sync::{PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use cutover_core::{Receipt, Verdict};
use serde_json::{Number, Value};

/// From how many bytes on a secret is looked for in hex and inside longer base64 texts.
const LONG: usize = 8;

/// What encoders of addresses leave as it is, beside letters and digits: RFC 3986, Python, JavaScript, forms.
const UNCHANGED: [&[u8]; 4] = [b"-_.~", b"-_.~/", b"-_.~!'()*", b"-_.*"];

/// From how many bytes on a number of a JSON document is compared with a secret: shorter ones are figures of its own.
const NUMBER: usize = 4;

/// The secrets of every plan that this process has opened: what is said beside a run is masked by them.
static KNOWN: RwLock<Vec<(Vec<String>, Secrets)>> = RwLock::new(Vec::new());

/// Takes in the secrets of a plan.
pub(crate) fn know(plain: &[String]) {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    if !plain.is_empty() && known.iter().all(|(before, _)| before != plain) {
        known.push((plain.to_vec(), Secrets::new(plain)));
    }
}

/// `text` without any of them.
pub(crate) fn mask_known(text: &str) -> String {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known.iter().fold(text.to_owned(), |text, (_, secrets)| secrets.mask(&text))
}

/// The secrets of one run, in every form that is looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets {
    forms: Vec<String>,
    /// Those that a store may make a number of.
    numbers: Vec<f64>,
}

impl Secrets {
    /// Secrets of which no form may be shown. Empty ones are left out.
    pub(crate) fn new(plain: &[String]) -> Self {
        let mut forms = Vec::new();
        for secret in plain.iter().filter(|s| !s.is_empty()) {
            let escaped = escaped(secret);
            for unchanged in UNCHANGED {
                for space in ["%20", "+"] {
                    forms.extend([percent(secret, unchanged, space, true), percent(secret, unchanged, space, false)]);
                }
            }
            // What is encoded may be JSON that holds the secret.
            for text in &escaped {
                forms.extend([&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD].map(|e| e.encode(text)));
                if text.len() >= LONG {
                    forms.extend((0..3).flat_map(|before| inside(text, before)));
                }
            }
            if secret.len() >= LONG {
                forms.extend([true, false].map(|upper| secret.bytes().map(|b| hex(b, upper)).collect()));
            }
            forms.extend(escaped);
        }
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        let numbers = plain.iter().filter(|s| s.len() >= NUMBER).filter_map(|s| s.trim().parse().ok()).collect();
        Self { forms, numbers }
    }

    /// `text` with every form of every secret replaced by `***`.
    pub(crate) fn mask(&self, text: &str) -> String {
        self.forms.iter().fold(text.to_owned(), |text, form| {
            if text.contains(form.as_str()) { text.replace(form.as_str(), "***") } else { text }
        })
    }
}

impl Secrets {
    /// `value` with every text in it masked.
    pub(crate) fn mask_json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.mask(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.mask_json(item)).collect(),
            Value::Object(entries) => entries.into_iter().map(|(k, v)| (self.mask(&k), self.mask_json(v))).collect(),
            Value::Number(number) if self.is_secret(&number) => Value::from("***"),
            scalar => scalar,
        }
    }

    /// Whether a number is a secret, however it is written, or a long one is part of it.
    fn is_secret(&self, number: &Number) -> bool {
        let digits = number.to_string();
        let same = number.as_f64().is_some_and(|n| self.numbers.iter().any(|secret| secret.total_cmp(&n).is_eq()));
        same || self.forms.iter().any(|form| form.len() >= LONG && digits.contains(form.as_str()))
    }

    /// A receipt with its notes masked: they are for people. Its body is what a rollback needs, and stays as it is.
    pub(crate) fn mask_notes(&self, mut receipt: Receipt) -> Receipt {
        for note in &mut receipt.notes {
            *note = self.mask(note);
        }
        receipt
    }

    /// What verify found, masked.
    pub(crate) fn mask_verdict(&self, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Broken(lines) => Verdict::Broken(lines.iter().map(|line| self.mask(line)).collect()),
            other => other,
        }
    }
}

/// `secret`, and as it stands between the quotes of JSON (with and without ASCII only), Rust, a shell and SQL.
fn escaped(secret: &str) -> Vec<String> {
    let json = Value::from(secret).to_string();
    let json = json.get(1..json.len() - 1).unwrap_or_default().to_owned();
    let debug = format!("{secret:?}");
    let mut forms = vec![
        secret.to_owned(),
        debug.get(1..debug.len() - 1).unwrap_or_default().to_owned(),
        secret.replace('\'', r"'\''"),
        secret.replace('\'', "''"),
    ];
    for text in [ascii(&json, true), ascii(&json, false), json] {
        forms.extend([text.replace('/', r"\/"), text]);
    }
    forms.sort();
    forms.dedup();
    forms
}

/// JSON text with escapes for all that is not ASCII.
fn ascii(json: &str, upper: bool) -> String {
    let mut out = String::new();
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") });
        }
    }
    out
}

/// The characters of base64 that `text` alone decides when so many bytes (modulo 3) stand before it.
fn inside(text: &str, before: usize) -> [String; 2] {
    let bytes = [&[0; 3][..before], text.as_bytes()].concat();
    let decided = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
    [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)]
        .map(|all| all.get(decided.clone()).unwrap_or_default().to_owned())
}

fn percent(text: &str, unchanged: &[u8], space: &str, upper: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || unchanged.contains(&byte) {
            out.push(char::from(byte));
        } else if byte == b' ' {
            out.push_str(space);
        } else {
            out.push('%');
            out.push_str(&hex(byte, upper));
        }
    }
    out
}

fn hex(byte: u8, upper: bool) -> String {
    if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of these tests: whatever encodings change is in it.
    const SECRET: &str = "s3cr\"et\\va'l ü/+~";

    fn shown(text: &str) -> String {
        Secrets::new(&[SECRET.to_owned()]).mask(text)
    }

    #[test]
    fn every_form_of_a_secret_is_masked() {
        let secrets = Secrets::new(&["p@ss word".to_owned()]);
        let text = format!("a p@ss word b {} c p%40ss%20word", STANDARD.encode("p@ss word"));
        assert_eq!(secrets.mask(&text), "a *** b *** c ***");
    }

    #[test]
    fn a_secret_is_masked_as_json_shells_and_sql_escape_it() {
        for form in [
            "s3cr\\\"et\\\\va'l ü/+~",
            "s3cr\\\"et\\\\va'l \\u00fc/+~",
            "s3cr\\\"et\\\\va'l \\u00FC/+~",
            "s3cr\\\"et\\\\va'l ü\\/+~",
            "s3cr\"et\\va'\\''l ü/+~",
            "s3cr\"et\\va''l ü/+~",
        ] {
            assert_eq!(shown(&format!("k = \"x{form}y\"")), "k = \"x***y\"", "{form}");
        }
    }

    #[test]
    fn a_secret_is_masked_in_every_usual_encoding_for_addresses_and_in_hex() {
        let bytes = SECRET.bytes();
        for form in [
            "s3cr%22et%5Cva%27l%20%C3%BC%2F%2B~".to_owned(),
            "s3cr%22et%5cva%27l%20%c3%bc%2f%2b~".to_owned(),
            "s3cr%22et%5Cva%27l+%C3%BC%2F%2B%7E".to_owned(),
            "s3cr%22et%5cva%27l+%c3%bc%2f%2b~".to_owned(),
            bytes.clone().map(|b| format!("{b:02x}")).collect(),
            bytes.map(|b| format!("{b:02X}")).collect(),
        ] {
            assert_eq!(shown(&format!("={form}&")), "=***&", "{form}");
        }
    }

    #[test]
    fn base64_of_a_text_around_a_secret_shows_none_of_it() {
        for (before, after) in
            [("", ":x"), ("u:", ""), ("us:", "\n"), ("usr:", "ab"), ("user:", ""), ("{\"t\":\"", "\"}")]
        {
            for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                let text = engine.encode(format!("{before}{SECRET}{after}"));
                let masked = shown(&text);
                assert!(masked.contains("***"), "{text}");
                // What is left of it are the ends, which hold bits of the text around it.
                let left = masked.len() - 3;
                assert!(left <= (before.len() + after.len()) * 4 / 3 + 6, "{text} as {masked}");
            }
        }
    }

    #[test]
    fn a_secret_that_became_a_number_is_masked_and_figures_of_the_document_are_not() {
        let secrets = Secrets::new(&["007351".to_owned(), "12.50".to_owned(), "73519284".to_owned(), "12".to_owned()]);
        let masked = secrets.mask_json(serde_json::json!({ "n": [7351, 12.5, 73519284, 1735192840, 12, 73510, 1.5] }));
        assert_eq!(masked, serde_json::json!({ "n": ["***", "***", "***", "***", 12, 73510, 1.5] }));
    }

    #[test]
    fn a_short_secret_is_masked_as_it_is_and_hides_nothing_that_merely_resembles_it() {
        let secrets = Secrets::new(&["abc1".to_owned(), String::new()]);
        assert_eq!(secrets.mask("abc1 YWJjMQ== 61626331 xYWJjMx"), "*** *** 61626331 xYWJjMx");
    }
}
