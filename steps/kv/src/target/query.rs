//! What can be asked of a store: scalars for gates, facts for `when`.
//!
//! Owns their language: `keys PREFIX`, `live PREFIX`, `records PREFIX`, `expired`, `max-version`; `key:KEY`,
//! `prefix:PREFIX`.

use cutover_core::{StepContext, StepError};

use super::KvTarget;
use crate::error::Result;
use crate::record::Record;
use crate::store::{Engine, VersionedStore};

/// The facts that a store answers.
pub(super) const FACTS: &[&str] = &["key:KEY", "prefix:PREFIX"];

/// A scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Query {
    /// Keys that begin so, dead or alive.
    Keys(String),
    /// Keys that begin so and have a value.
    Live(String),
    /// Versions of keys that begin so.
    Records(String),
    /// Records that have expired.
    Expired,
    /// The highest version.
    MaxVersion,
}

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, StepError> {
        let (word, prefix) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let prefix = prefix.trim().to_owned();
        match (word, prefix.is_empty()) {
            ("keys", _) => Ok(Self::Keys(prefix)),
            ("live", _) => Ok(Self::Live(prefix)),
            ("records", _) => Ok(Self::Records(prefix)),
            ("expired", true) => Ok(Self::Expired),
            ("max-version", true) => Ok(Self::MaxVersion),
            _ => Err(StepError::failed(format!("a key-value store has no measure `{text}`"))
                .with_help("ask for `keys PREFIX`, `live PREFIX`, `records PREFIX`, `expired` or `max-version`")),
        }
    }

    /// The answer of sorted records, where no store with indexes has them.
    pub(super) fn answer_of(&self, records: impl Iterator<Item = Result<Record>>, now: u64) -> Result<f64> {
        let prefix = match self {
            Self::Keys(prefix) | Self::Live(prefix) | Self::Records(prefix) => prefix.as_bytes(),
            Self::Expired | Self::MaxVersion => b"",
        };
        let (mut n, mut last) = (0u64, None::<Vec<u8>>);
        for record in records {
            let record = record?;
            if !record.key.starts_with(prefix) {
                continue;
            }
            let newest = last.as_ref() != Some(&record.key);
            if newest {
                last.get_or_insert_default().clone_from(&record.key);
            }
            match self {
                Self::Keys(_) => n += u64::from(newest),
                Self::Live(_) => n += u64::from(newest && record.is_live(now)),
                Self::Records(_) => n += 1,
                Self::Expired => n += u64::from(record.has_expired(now)),
                Self::MaxVersion => n = n.max(record.version),
            }
        }
        Ok(n as f64)
    }

    pub(super) fn answer<E: Engine>(&self, target: &KvTarget<E>, cx: &StepContext) -> Result<f64> {
        let now = now(cx);
        target.read(|store| {
            let Some(store) = store else { return Ok(0.0) };
            let count =
                |mut records: crate::store::Records<'_>| records.try_fold(0u64, |n, found| found.map(|_| n + 1));
            let n = match self {
                Self::Keys(prefix) => {
                    let mut last = Vec::new();
                    let mut first = |key: &[u8]| {
                        key != last && {
                            last = key.to_vec();
                            true
                        }
                    };
                    let mut records = store.versions(prefix.as_bytes(), 0)?;
                    records.try_fold(0, |n, found| found.map(|record| n + u64::from(first(&record.key))))?
                }
                Self::Live(prefix) => count(store.live(prefix.as_bytes(), u64::MAX, now)?)?,
                Self::Records(prefix) => count(store.versions(prefix.as_bytes(), 0)?)?,
                Self::Expired => count(store.expired(now)?)?,
                Self::MaxVersion => store.max_version()?,
            };
            Ok(n as f64)
        })
    }
}

/// A fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    /// A key has a value.
    Key(String),
    /// A key that begins so has a value.
    Prefix(String),
}

impl Fact {
    pub(super) fn parse(text: &str) -> Result<Self, StepError> {
        match text.split_once(':') {
            Some(("key", key)) if !key.is_empty() => Ok(Self::Key(key.to_owned())),
            Some(("prefix", prefix)) => Ok(Self::Prefix(prefix.to_owned())),
            _ => Err(StepError::failed(format!("a key-value store has no fact `{text}`"))
                .with_help("the facts of a store are `key:KEY` and `prefix:PREFIX`")),
        }
    }

    /// Whether it holds of sorted records.
    pub(super) fn holds_of(&self, records: impl Iterator<Item = Result<Record>>, now: u64) -> Result<bool> {
        let mut last = None::<Vec<u8>>;
        for record in records {
            let record = record?;
            let newest = last.as_ref() != Some(&record.key);
            let meant = match self {
                Self::Key(key) => record.key == key.as_bytes(),
                Self::Prefix(prefix) => record.key.starts_with(prefix.as_bytes()),
            };
            if newest && meant && record.is_live(now) {
                return Ok(true);
            }
            last = Some(record.key);
        }
        Ok(false)
    }

    pub(super) fn holds<E: Engine>(&self, target: &KvTarget<E>, cx: &StepContext) -> Result<bool> {
        let now = now(cx);
        target.read(|store| {
            let Some(store) = store else { return Ok(false) };
            match self {
                Self::Key(key) => Ok(store.get(key.as_bytes(), u64::MAX, now)?.is_some()),
                Self::Prefix(prefix) => Ok(store.live(prefix.as_bytes(), u64::MAX, now)?.next().transpose()?.is_some()),
            }
        })
    }
}

/// Seconds since 1970, by the runner's clock.
pub(super) fn now(cx: &StepContext) -> u64 {
    cx.now().as_second().max(0) as u64
}
