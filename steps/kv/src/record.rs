//! A record: one version of one key, as Badger has it.
//!
//! Owns what a record is, which bits of it mean something, when two are the same, and their order. Knows no store and no
//! file format.

use std::cmp::Ordering;

/// One version of one key.
///
/// `==` compares field by field; what survives a trip through Badger is [`Record::same`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Record {
    /// The key, without version: any bytes, 1 to 65,000 of them in Badger.
    pub key: Vec<u8>,
    /// The commit that wrote it. Several keys of one transaction share it.
    pub version: u64,
    /// The value, wherever Badger kept it. Empty for what is deleted.
    pub value: Vec<u8>,
    /// The byte that the application keeps beside the value. None: a backup file said nothing, which Badger reads as 0.
    pub user_meta: Option<u8>,
    /// What Badger says of it.
    pub meta: Meta,
    /// When it expires, in seconds since 1970; 0 is never.
    pub expires_at: u64,
}

/// Badger's own bits of a record (its `value.go`), those that say how an entry is stored or was committed masked out.
///
/// A backup clears the transaction bits and lets the pointer bit slip through, which depends on the threshold of the
/// database that wrote it: whoever compares them would find differences where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Meta(u8);

impl Meta {
    /// The key is deleted from this version on.
    pub const DELETE: u8 = 0x01;
    /// The stored value is a pointer into the value log. Says nothing of the record; masked.
    pub const VALUE_POINTER: u8 = 0x02;
    /// Versions before this one are not kept.
    pub const DISCARD_EARLIER: u8 = 0x04;
    /// An operand of a merge operator, whose function is in the program that wrote it.
    pub const MERGE: u8 = 0x08;
    /// Written in a transaction. Says nothing of the record; masked.
    pub const TRANSACTION: u8 = 0x40;
    /// The end of a transaction in the log. Says nothing of the record; masked.
    pub const TRANSACTION_END: u8 = 0x80;
    /// What is masked.
    pub const MASKED: u8 = Self::VALUE_POINTER | Self::TRANSACTION | Self::TRANSACTION_END;

    /// The bits that a record has, of a byte that Badger stored.
    pub const fn of(stored: u8) -> Self {
        Self(stored & !Self::MASKED)
    }

    /// The bits; the masked ones are never set.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The key is deleted from this version on.
    pub const fn is_delete(self) -> bool {
        self.0 & Self::DELETE != 0
    }

    /// Versions before this one are not kept.
    pub const fn discards_earlier(self) -> bool {
        self.0 & Self::DISCARD_EARLIER != 0
    }

    /// An operand of a merge operator.
    pub const fn is_merge(self) -> bool {
        self.0 & Self::MERGE != 0
    }
}

impl Record {
    /// Whether a reader at `now` (seconds since 1970) finds a value here: neither deleted nor expired. Where the newest
    /// version is not live the key has no value, whatever is below it.
    pub fn is_live(&self, now: u64) -> bool {
        !self.meta.is_delete() && !self.has_expired(now)
    }

    /// Whether it expired at or before `now` (seconds since 1970), as Badger counts.
    pub fn has_expired(&self, now: u64) -> bool {
        self.expires_at != 0 && self.expires_at <= now
    }

    /// The same record to Badger: equal in every field, an absent user meta being 0.
    pub fn same(&self, other: &Self) -> bool {
        let plain = |record: &Self| record.user_meta.unwrap_or(0);
        self.version == other.version
            && self.meta == other.meta
            && self.expires_at == other.expires_at
            && plain(self) == plain(other)
            && self.key == other.key
            && self.value == other.value
    }

    /// Badger's order: keys ascending byte by byte, of one key the newest version first.
    pub fn order(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key).then(other.version.cmp(&self.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, version: u64) -> Record {
        Record { key: key.into(), version, ..Record::default() }
    }

    #[test]
    fn how_badger_stored_a_record_is_no_part_of_it() {
        assert_eq!(Meta::of(0xC2 | Meta::DELETE), Meta::of(Meta::DELETE));
        assert_eq!(Meta::of(0xFF).bits(), 0x3D);
        let absent = record("a", 1);
        let zero = Record { user_meta: Some(0), ..record("a", 1) };
        assert!(absent.same(&zero) && absent != zero);
        assert!(!absent.same(&Record { user_meta: Some(1), ..record("a", 1) }));
    }

    #[test]
    fn keys_ascend_and_their_versions_descend() {
        let mut records = [record("b", 1), record("a", 1), record("a", 2), record("a\0", 3)];
        records.sort_by(Record::order);
        let order: Vec<_> = records.iter().map(|r| (r.key.as_slice(), r.version)).collect();
        assert_eq!(order, [(&b"a"[..], 2), (b"a", 1), (b"a\0", 3), (b"b", 1)]);
    }

    #[test]
    fn a_record_expires_with_the_second_that_it_names() {
        let record = Record { expires_at: 100, ..record("a", 1) };
        assert_eq!([99, 100, 101].map(|now| record.is_live(now)), [true, false, false]);
        assert!(Record::default().is_live(u64::MAX));
    }
}
