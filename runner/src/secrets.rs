//! Masking: no secret of a plan reaches output, journal or report, plain or encoded.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use cutover_core::{Receipt, Verdict};
use serde_json::Value;

/// The secrets of one run, in every form that is looked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    /// Secrets of which no form may be shown. Empty ones are left out.
    pub(crate) fn new(plain: &[String]) -> Self {
        let mut forms = Vec::new();
        for secret in plain.iter().filter(|s| !s.is_empty()) {
            forms.push(secret.clone());
            forms.push(STANDARD.encode(secret));
            forms.push(STANDARD_NO_PAD.encode(secret));
            forms.push(URL_SAFE.encode(secret));
            forms.push(URL_SAFE_NO_PAD.encode(secret));
            forms.push(percent(secret));
        }
        forms.sort_by_key(|f| std::cmp::Reverse(f.len()));
        forms.dedup();
        Self(forms)
    }

    /// `text` with every form of every secret replaced by `***`.
    pub(crate) fn mask(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, form| {
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
            scalar => scalar,
        }
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

fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_is_masked() {
        let secrets = Secrets::new(&["p@ss word".to_owned()]);
        let text = format!("a p@ss word b {} c p%40ss%20word", STANDARD.encode("p@ss word"));
        assert_eq!(secrets.mask(&text), "a *** b *** c ***");
    }
}
