//! The highest version that was ever written, exactly, without a word about it in each write.
//!
//! Owns what the store notes of it: the number, when nobody writes, or that more was written since. Who finds the second, after
//! a crash, looks through the records.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::{Value, json};

use super::{Engine, Keyed, MAX_VERSION};
use crate::encoding::{data_prefix, note_key, read_data_key};
use crate::error::{KvErrorKind, Result};

/// Keys and what is to be kept under them; none removes.
type Entries = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// In the note of a store that was written to since.
const SINCE: &str = "since";

/// The version, and whether the note of the store has it.
#[derive(Debug, Default)]
pub(super) struct Highest {
    version: AtomicU64,
    /// Whether the store notes that more may have been written. Held while something is.
    noted: RwLock<Noted>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Noted {
    /// The number.
    #[default]
    Exactly,
    /// That more was written since, by this process.
    Since,
    /// The same by one that crashed.
    Crashed,
}

impl Highest {
    pub(super) fn get(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn raise(&self, version: u64) {
        self.version.fetch_max(version, Ordering::AcqRel);
    }

    /// For a write that may say nothing about it, if the note allows that.
    pub(super) fn shared(&self) -> RwLockReadGuard<'_, Noted> {
        self.noted.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a write that changes the note.
    pub(super) fn alone(&self) -> RwLockWriteGuard<'_, Noted> {
        self.noted.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a note says: at least that version, and whether exactly that. No note: nothing was ever written.
    pub(super) fn read(note: Option<&Value>) -> Option<(u64, Noted)> {
        match note {
            None => Some((0, Noted::Exactly)),
            Some(Value::Object(since)) => Some((since.get(SINCE)?.as_u64()?, Noted::Crashed)),
            Some(number) => Some((number.as_u64()?, Noted::Exactly)),
        }
    }
}

impl Noted {
    /// The note that says so of a version.
    pub(super) fn note(self, version: u64) -> Value {
        match self {
            Self::Exactly => version.into(),
            Self::Since | Self::Crashed => json!({ SINCE: version }),
        }
    }
}

impl<E: Engine> Keyed<E> {
    /// Finds it when the store is opened.
    pub(super) fn find_highest(&self) -> Result<()> {
        let note = self.note(MAX_VERSION)?;
        let (version, noted) = Highest::read(note.as_ref()).ok_or_else(|| {
            self.wrong(KvErrorKind::Malformed(format!("its entry `{MAX_VERSION}` is not one that cutover makes")))
        })?;
        self.highest.raise(version);
        if noted != Noted::Exactly {
            for found in self.engine.range(data_prefix(b"")) {
                let (key, _) = found?;
                let version = read_data_key(key.as_ref()).map(|(_, version)| version);
                self.highest.raise(version.ok_or_else(|| self.no_record(key.as_ref()))?);
            }
        }
        *self.highest.alone() = noted;
        Ok(())
    }

    /// Writes what a batch became, and the note of the highest version where the store has to have one.
    pub(super) fn write_noted(&self, mut entries: Entries, highest: u64, exactly: bool, durable: bool) -> Result<()> {
        {
            let noted = self.highest.shared();
            let says_enough = match *noted {
                Noted::Exactly => highest <= self.highest.get(),
                Noted::Since => !exactly,
                Noted::Crashed => false,
            };
            if says_enough {
                self.engine.write(sorted(entries), durable)?;
                self.highest.raise(highest);
                return Ok(());
            }
        }
        let mut noted = self.highest.alone();
        let (says, version) = match exactly {
            true => (Noted::Exactly, highest.max(self.highest.get())),
            // What is there is in the note; what comes is not.
            false => (Noted::Since, self.highest.get()),
        };
        if version > 0 || says != Noted::Exactly {
            entries.push((note_key(MAX_VERSION), Some(says.note(version).to_string().into_bytes())));
        }
        self.engine.write(sorted(entries), durable)?;
        self.highest.raise(highest);
        *noted = says;
        Ok(())
    }

    /// Has the note say the number.
    pub(super) fn settle(&self) -> Result<()> {
        if *self.highest.shared() == Noted::Since { self.write_noted(Vec::new(), 0, true, false) } else { Ok(()) }
    }
}

/// In order, which the engines like, and each key once: the last word of a batch counts.
fn sorted(mut entries: Entries) -> Entries {
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries.dedup_by(|later, kept| {
        later.0 == kept.0 && {
            kept.1 = later.1.take();
            true
        }
    });
    entries
}
