//! A span: what it holds, and how much of it at the most. Knows no event and no format.

use jiff::Timestamp;

use crate::secrets;

/// A longer text is cut.
const LONGEST: usize = 512;
/// Further events of one span are counted, and not kept.
const MOST_EVENTS: usize = 32;

/// The id of a trace.
pub(super) type TraceId = [u8; 16];
/// The id of a span.
pub(super) type SpanId = [u8; 8];

/// What an attribute may be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(f64),
    Count(u64),
    Flag(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        let text = secrets::mask_known(text);
        let end = text.floor_char_boundary(LONGEST);
        Self::Text(if end < text.len() { format!("{}…", &text[..end]) } else { text })
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// Names and what they are.
pub(super) type Attributes = Vec<(&'static str, Value)>;

/// Something that happened while a span lasted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Happened {
    pub(super) name: &'static str,
    pub(super) at: Timestamp,
    pub(super) attributes: Attributes,
}

/// How what a span stands for came out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Status {
    #[default]
    Unset,
    Ok,
    Error(String),
}

/// A span.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Span {
    pub(super) trace: TraceId,
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) name: String,
    pub(super) began: Timestamp,
    pub(super) ended: Timestamp,
    pub(super) attributes: Attributes,
    pub(super) events: Vec<Happened>,
    /// How many are not in `events`.
    pub(super) dropped: u32,
    pub(super) status: Status,
}

impl Span {
    /// Adds an attribute.
    pub(super) fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.attributes.push((name, value.into()));
    }

    /// Adds what happened at `at`.
    pub(super) fn happened(&mut self, name: &'static str, at: Timestamp, attributes: Attributes) {
        if self.events.len() < MOST_EVENTS {
            self.events.push(Happened { name, at, attributes });
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// It failed, and why.
    pub(super) fn fail(&mut self, at: Timestamp, why: &str) {
        let Value::Text(short) = Value::from(why) else { return };
        self.happened("exception", at, vec![("exception.message", Value::Text(short.clone()))]);
        self.status = Status::Error(short);
    }
}
