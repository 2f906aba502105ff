//! Which versions of a key nobody needs any more.
//!
//! Owns that dropping them changes nothing for a reader but what it was asked to: what is dropped of a key is always its
//! oldest versions up to some point, so that none of them ever shows because a newer one went. Knows no store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::Record;

/// What is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Rule {
    /// As many versions of a key stay.
    pub(crate) keep: Option<u64>,
    /// Readers as of this version and later ones find what they found.
    pub(crate) below: Option<u64>,
    /// Keys whose newest version is a delete go, with all versions.
    pub(crate) deleted: bool,
    /// Keys whose newest version has expired go, with all versions.
    pub(crate) expired: bool,
    /// The second that expiry is judged by.
    pub(crate) now: u64,
    /// Versions above it were written later and are no part of it.
    pub(crate) bound: u64,
}

/// Why a record goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Why {
    /// A version behind those that stay.
    Older,
    /// Its key is deleted.
    Deleted,
    /// Its key has expired.
    Expired,
}

impl Why {
    /// For people: "older versions".
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Older => "older versions",
            Self::Deleted => "of deleted keys",
            Self::Expired => "of expired keys",
        }
    }
}

/// Records that go, or went.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Dropped {
    /// By why.
    pub(crate) records: BTreeMap<Why, u64>,
    /// Bytes of their keys and values.
    pub(crate) bytes: u64,
}

impl Dropped {
    pub(crate) fn add(&mut self, why: Why, record: &Record) {
        *self.records.entry(why).or_default() += 1;
        self.bytes += (record.key.len() + record.value.len()) as u64;
    }

    pub(crate) fn total(&self) -> u64 {
        self.records.values().sum()
    }

    /// For people: "12 records: 10 older versions, 2 of deleted keys".
    pub(crate) fn text(&self) -> String {
        let each: Vec<String> = self.records.iter().map(|(why, n)| format!("{n} {}", why.what())).collect();
        match self.total() {
            0 => "no record".to_owned(),
            total => format!("{total} records: {} ({} bytes of keys and values)", each.join(", "), self.bytes),
        }
    }
}

impl Rule {
    /// How many of the versions of one key, the newest first, stay; and why the others go.
    pub(crate) fn staying(&self, versions: &[Record]) -> (usize, Why) {
        let all = versions.len();
        let later = versions.iter().take_while(|record| record.version > self.bound).count();
        let Some(newest) = versions.get(later) else { return (all, Why::Older) };
        let reach = self.below.unwrap_or(u64::MAX);
        if newest.version <= reach {
            if self.deleted && newest.meta.is_delete() {
                return (later, Why::Deleted);
            }
            if self.expired && !newest.meta.is_delete() && newest.has_expired(self.now) {
                return (later, Why::Expired);
            }
        }
        let keep = match (self.keep, self.below) {
            (Some(keep), _) => usize::try_from(keep).unwrap_or(usize::MAX),
            (None, Some(_)) => 1,
            (None, None) => usize::MAX,
        };
        let kept = later.saturating_add(keep);
        // What operands of a merge come to needs those before them.
        let merges = versions[later..].iter().any(|record| record.meta.is_merge());
        let kept = if merges { all } else { kept.min(all) };
        // Behind a version that discards those before it nothing is ever read.
        let discarding = versions[later..].iter().position(|record| record.meta.discards_earlier());
        let kept = discarding.map_or(kept, |at| kept.min(later + at + 1));
        // A reader as of `below` finds the newest version up to there.
        let read = versions[later..].iter().position(|record| record.version <= reach);
        (read.map_or(all, |at| kept.max(later + at + 1)), Why::Older)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Meta;

    const ALL: Rule = Rule { keep: None, below: None, deleted: false, expired: false, now: 100, bound: u64::MAX };

    fn at(version: u64) -> Record {
        Record { key: b"k".to_vec(), version, ..Record::default() }
    }

    fn with(version: u64, meta: u8) -> Record {
        Record { meta: Meta::of(meta), ..at(version) }
    }

    fn kept(rule: Rule, versions: &[Record]) -> usize {
        rule.staying(versions).0
    }

    #[test]
    fn as_many_versions_stay_as_are_kept_and_as_readers_need() {
        let versions = [at(9), at(7), at(5), at(3)];
        assert_eq!(kept(ALL, &versions), 4);
        assert_eq!(kept(Rule { keep: Some(2), ..ALL }, &versions), 2);
        assert_eq!(kept(Rule { keep: Some(9), ..ALL }, &versions), 4);
        // A reader as of 6 needs 5; one as of 5 too; one as of 2 found nothing.
        assert_eq!([6, 5, 2].map(|below| kept(Rule { below: Some(below), ..ALL }, &versions)), [3, 3, 4]);
        assert_eq!(kept(Rule { below: Some(9), keep: Some(1), ..ALL }, &versions), 1);
        assert_eq!(kept(Rule { below: Some(6), keep: Some(4), ..ALL }, &versions), 4);
        assert_eq!(kept(Rule { keep: Some(1), bound: 6, ..ALL }, &versions), 3);
    }

    #[test]
    fn a_dead_key_goes_whole_or_stays_and_nothing_falls_through() {
        let deleted = [with(9, Meta::DELETE), at(7), at(5)];
        let expired = [Record { expires_at: 100, ..at(9) }, at(7)];
        assert_eq!((kept(ALL, &deleted), kept(Rule { expired: true, ..ALL }, &deleted)), (3, 3));
        assert_eq!(Rule { deleted: true, ..ALL }.staying(&deleted), (0, Why::Deleted));
        assert_eq!(Rule { expired: true, ..ALL }.staying(&expired), (0, Why::Expired));
        assert_eq!(kept(Rule { expired: true, now: 99, ..ALL }, &expired), 2);
        // A reader as of 8 still finds 7.
        assert_eq!(kept(Rule { deleted: true, below: Some(8), ..ALL }, &deleted), 2);
        assert_eq!(kept(Rule { deleted: true, bound: 8, ..ALL }, &deleted), 3);
    }

    #[test]
    fn what_is_discarded_goes_and_operands_of_a_merge_stay() {
        let discarding = [at(9), with(7, Meta::DISCARD_EARLIER), at(5), at(3)];
        assert_eq!(kept(ALL, &discarding), 2);
        let merges = [with(9, Meta::MERGE), with(7, Meta::MERGE), at(5)];
        assert_eq!(kept(Rule { keep: Some(1), ..ALL }, &merges), 3);
        let merged = [with(9, Meta::MERGE | Meta::DISCARD_EARLIER), with(7, Meta::MERGE), at(5)];
        assert_eq!(kept(Rule { keep: Some(1), ..ALL }, &merged), 1);
    }
}
