//! What is in a store, by the first part of its keys.
//!
//! Owns counts, digests and the comparison of two stores. The store's own notes are no content.

use std::collections::BTreeMap;

use cutover_core::{Assessment, Depth, Fingerprint, PartPrint, StepContext, StepError, blake3_hex};

use super::{KvTarget, look};
use crate::copy::{Differing, compare, hash};
use crate::error::{KvError, KvErrorKind, Result};
use crate::record::Record;
use crate::store::{Engine, FORMAT, FORMAT_VERSION, Keyed, Part, Records, VersionedStore};

/// Parts that are told apart; the rest is one.
const PARTS: usize = 200;
const LONGEST_PART: usize = 32;
const OTHERS: &str = "(others)";
/// Records between two words on how far it has come.
const PACE: u64 = 10_000;

/// The part that a key belongs to: what is before its first `:`, if that is text.
fn part_of(key: &[u8]) -> &str {
    let end = key.iter().take(LONGEST_PART + 1).position(|&byte| byte == b':');
    let part = end.and_then(|end| std::str::from_utf8(&key[..end]).ok());
    part.filter(|part| !part.is_empty() && !part.chars().any(char::is_control)).unwrap_or(OTHERS)
}

/// Calls `with` for each record, in order, with the name of its part.
fn each(
    records: impl Iterator<Item = Result<Record>>,
    cx: &StepContext,
    mut with: impl FnMut(&str, &Record),
) -> Result<()> {
    let mut parts = BTreeMap::<String, ()>::new();
    for (n, record) in (1..).zip(records) {
        let record = record?;
        let mut part = part_of(&record.key);
        if !parts.contains_key(part) {
            match parts.len() < PARTS {
                true => drop(parts.insert(part.to_owned(), ())),
                false => part = OTHERS,
            }
        }
        with(part, &record);
        if n % PACE == 0 {
            cx.progress(n, None, "records");
        }
    }
    Ok(())
}

/// Every record of a store; none of none.
pub(super) fn all<E: Engine>(store: Option<&Keyed<E>>) -> Result<Records<'_>> {
    store.map_or_else(|| Ok(Box::new(std::iter::empty()) as Records<'_>), |store| store.versions(b"", 0))
}

/// The same in parts, to be read at the same time.
pub(super) fn parts<E: Engine>(store: Option<&Keyed<E>>) -> Result<Vec<Part<'_>>> {
    store.map_or_else(|| Ok(Vec::new()), |store| store.parts(0))
}

/// Records by part.
pub(super) fn counts<E: Engine>(target: &KvTarget<E>, cx: &StepContext) -> Result<BTreeMap<String, u64>> {
    target.read(|store| counted(all(store)?, cx))
}

/// Records by part.
pub(super) fn counted(
    records: impl Iterator<Item = Result<Record>>,
    cx: &StepContext,
) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    each(records, cx, |part, _| match counts.get_mut(part) {
        Some(count) => *count += 1,
        None => drop(counts.insert(part.to_owned(), 1)),
    })?;
    Ok(counts)
}

/// What sorted records come to.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By part.
    pub(super) counts: BTreeMap<String, u64>,
    pub(super) facts: BTreeMap<String, String>,
    pub(super) problems: Vec<String>,
}

/// Looks sorted records over.
pub(super) fn found(records: impl Iterator<Item = Result<Record>>, cx: &StepContext) -> Result<Found> {
    let now = cx.now().as_second().max(0) as u64;
    let [mut keys, mut live, mut deleted, mut expired, mut merges] = [0u64; 5];
    let (mut max_version, mut counts) = (0, BTreeMap::<String, u64>::new());
    let mut last: Option<Vec<u8>> = None;
    each(records, cx, |part, record| {
        match counts.get_mut(part) {
            Some(count) => *count += 1,
            None => drop(counts.insert(part.to_owned(), 1)),
        }
        max_version = max_version.max(record.version);
        merges += u64::from(record.meta.is_merge());
        if last.as_ref() != Some(&record.key) {
            keys += 1;
            live += u64::from(record.is_live(now));
            deleted += u64::from(record.meta.is_delete());
            expired += u64::from(!record.meta.is_delete() && record.has_expired(now));
            last.get_or_insert_default().clone_from(&record.key);
        }
    })?;
    let facts = [
        ("deleted", deleted),
        ("expired", expired),
        ("keys", keys),
        ("live", live),
        ("max-version", max_version),
        ("records", counts.values().sum()),
    ];
    let problems = (merges > 0).then(|| {
        format!(
            "{merges} records are operands of a merge operator, whose function only the program that wrote them has"
        )
    });
    let facts = facts.into_iter().map(|(name, n)| (name.to_owned(), n.to_string())).collect();
    Ok(Found { counts, facts, problems: problems.into_iter().collect() })
}

/// What a look finds. Of a store that a program has open only that: it is in order, a step may be about to stop that program.
pub(super) fn assess<E: Engine>(target: &KvTarget<E>, cx: &StepContext) -> Result<Assessment, StepError> {
    let (there, found) = match target.read(|store| Ok((store.is_some(), found(all(store)?, cx)?))) {
        Err(error) => (true, in_use(error)?),
        Ok(found) => found,
    };
    Ok(Assessment {
        kind: E::NAME.to_owned(),
        version: if there { format!("layout {FORMAT_VERSION}") } else { "no store yet".to_owned() },
        bytes: look::bytes(target.path.as_path())?,
        counts: found.counts,
        facts: found.facts,
        problems: found.problems,
    })
}

/// What is known of records that nobody else can read now.
pub(super) fn in_use(error: KvError) -> Result<Found> {
    match &error.kind {
        KvErrorKind::InUse(by) => {
            Ok(Found { facts: BTreeMap::from([("in-use".to_owned(), by.clone())]), ..Found::default() })
        }
        _ => Err(error),
    }
}

/// Digests over the records, as Badger would compare them.
pub(super) fn fingerprint<E: Engine>(
    target: &KvTarget<E>,
    cx: &StepContext,
    depth: Depth,
) -> Result<Fingerprint, StepError> {
    let (there, content) = target.read(|store| {
        let content = (depth == Depth::Content).then(|| prints(all(store)?, cx)).transpose()?;
        Ok((store.is_some(), content))
    })?;
    let schema = there.then(|| (FORMAT.to_owned(), blake3_hex(FORMAT_VERSION.to_string().as_bytes())));
    Ok(Fingerprint { kind: E::NAME.to_owned(), schema: schema.into_iter().collect(), content })
}

/// Digest and count of each part of sorted records: the same wherever they are kept.
pub(super) fn prints(
    records: impl Iterator<Item = Result<Record>>,
    cx: &StepContext,
) -> Result<BTreeMap<String, PartPrint>> {
    let mut parts = BTreeMap::<String, (blake3::Hasher, u64)>::new();
    each(records, cx, |part, record| {
        if !parts.contains_key(part) {
            parts.insert(part.to_owned(), Default::default());
        }
        let Some((hasher, count)) = parts.get_mut(part) else { return };
        hash(hasher, record);
        *count += 1;
    })?;
    let print = |(hasher, count): (blake3::Hasher, u64)| PartPrint { digest: hasher.finalize().to_string(), count };
    Ok(parts.into_iter().map(|(part, found)| (part, print(found))).collect())
}

/// A line for each of the first records that differ from those of `original`.
pub(super) fn differing<E: Engine>(target: &KvTarget<E>, original: &KvTarget<E>) -> Result<Vec<String>> {
    target.read(|here| {
        original.read(|there| {
            let found = compare(all(there)?, all(here)?)?;
            Ok(found.named.iter().map(|(how, key, version)| named(*how, key, *version)).collect())
        })
    })
}

/// A record that differs, for people.
pub(super) fn named(how: Differing, key: &[u8], version: u64) -> String {
    let how = match how {
        Differing::OnlyLeft => "only in the original",
        Differing::OnlyRight => "only here",
        Differing::Value => "another value",
        Differing::Meta => "another meta or expiry",
    };
    format!("record `{}` version {version}: {how}", key.escape_ascii())
}
