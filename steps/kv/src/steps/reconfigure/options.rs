//! Badger's options: which there are, and what each may be.
//!
//! Owns their names and ranges, from `options.go` and `db.go` of its versions 2 to 4. What an option comes to is Badger's.

use std::collections::BTreeMap;

use cutover_core::closest;
use serde_json::Value;

/// What an option may be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Range {
    Bool,
    /// Both ends included.
    Int(i64, i64),
    Ratio,
    /// Whole numbers from 2 on, and 0, which stops compaction.
    Compactors,
}

use Range::{Bool, Compactors, Int, Ratio};

const MANY: i64 = i32::MAX as i64;
const HUGE: i64 = i64::MAX;

/// Those that a program may run with from one start to the next, over the same files.
const OPTIONS: [(&str, Range); 34] = [
    ("BaseLevelSize", Int(1, HUGE)),
    ("BaseTableSize", Int(1, HUGE)),
    ("BlockCacheSize", Int(0, HUGE)),
    ("BlockSize", Int(1, MANY)),
    ("BloomFalsePositive", Ratio),
    ("CompactL0OnClose", Bool),
    ("DetectConflicts", Bool),
    ("IndexCacheSize", Int(0, HUGE)),
    ("KeepL0InMemory", Bool),
    ("LevelOneSize", Int(1, HUGE)),
    ("LevelSizeMultiplier", Int(1, MANY)),
    ("LmaxCompaction", Bool),
    ("LoadBloomsOnOpen", Bool),
    ("LogRotatesToFlush", Int(1, MANY)),
    ("MaxCacheSize", Int(0, HUGE)),
    ("MaxLevels", Int(1, 32)),
    ("MaxTableSize", Int(1, HUGE)),
    ("MemTableSize", Int(1, HUGE)),
    ("MetricsEnabled", Bool),
    ("NumCompactors", Compactors),
    ("NumGoroutines", Int(1, MANY)),
    ("NumLevelZeroTables", Int(1, MANY)),
    ("NumLevelZeroTablesStall", Int(1, MANY)),
    ("NumMemtables", Int(1, MANY)),
    ("NumVersionsToKeep", Int(1, MANY)),
    ("ReadOnly", Bool),
    ("SyncWrites", Bool),
    ("TableSizeMultiplier", Int(1, MANY)),
    ("VLogPercentile", Ratio),
    ("ValueLogFileSize", Int(1 << 20, (2 << 30) - 1)),
    ("ValueLogMaxEntries", Int(1, u32::MAX as i64)),
    ("ValueThreshold", Int(0, 1 << 20)),
    ("VerifyValueChecksum", Bool),
    ("ZSTDCompressionLevel", Int(1, 22)),
];

/// Those that no reconfiguration may touch, and why.
const REFUSED: [(&str, &str); 13] = [
    ("BypassLockGuard", "two programs that write one database destroy it"),
    ("ChecksumVerificationMode", "it is no number: every program has its own word for it"),
    ("Compression", "it is no number: every program has its own word for it"),
    ("Dir", "the database would be another one"),
    ("EncryptionKey", "a key belongs into no plan"),
    ("EncryptionKeyRotationDuration", "it is no number: every program has its own word for it"),
    ("ExternalMagicVersion", "the database could not be opened any more"),
    ("InMemory", "nothing that is written would stay"),
    ("Logger", "it is no number"),
    ("TableLoadingMode", "it is no number: every program has its own word for it"),
    ("Truncate", "what is behind a damage would be cut off"),
    ("ValueDir", "the values would be other ones"),
    ("ValueLogLoadingMode", "it is no number: every program has its own word for it"),
];

/// What makes the same of all spellings: `NumCompactors`, `num-compactors`, `num_compactors`, `numCompactors`.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(|c| !['-', '_'].contains(c)).flat_map(char::to_lowercase).collect()
}

/// Why an option cannot have that value, and what to do.
pub(super) fn check(name: &str, value: &Value) -> Result<(), (String, String)> {
    let wanted = plain(name);
    if let Some((known, why)) = REFUSED.iter().find(|(known, _)| plain(known) == wanted) {
        return Err((format!("`{known}` is not changed here: {why}"), "take it out of `set`".to_owned()));
    }
    let Some((known, range)) = OPTIONS.iter().find(|(known, _)| plain(known) == wanted) else {
        let spelled = OPTIONS.map(|(known, _)| plain(known));
        let near = closest(&wanted, spelled.iter().map(String::as_str));
        let near = OPTIONS.iter().find(|(known, _)| near.is_some_and(|near| near == plain(known)));
        let help = near.map_or_else(
            || "the names are those of the fields of `badger.Options`".to_owned(),
            |(near, _)| format!("did you mean `{near}`?"),
        );
        return Err((format!("Badger has no option `{name}`"), help));
    };
    let (holds, may) = match range {
        Bool => (value.is_boolean(), "true or false".to_owned()),
        Int(least, most) => (
            value.as_i64().is_some_and(|n| (*least..=*most).contains(&n)),
            match *most {
                MANY | HUGE => format!("a whole number from {least} on"),
                _ => format!("a whole number from {least} to {most}"),
            },
        ),
        Ratio => (value.as_f64().is_some_and(|n| (0.0..=1.0).contains(&n)), "a number from 0 to 1".to_owned()),
        Compactors => (
            value.as_i64().is_some_and(|n| n == 0 || (2..=MANY).contains(&n)),
            "a whole number from 2 on (one alone is refused by Badger), or 0, which stops compaction".to_owned(),
        ),
    };
    if holds { Ok(()) } else { Err((format!("`{known}` cannot be {value}"), format!("it has to be {may}"))) }
}

/// Why options do not go together: those of a plan alone are looked at.
pub(super) fn together(set: &BTreeMap<String, Value>) -> Option<String> {
    let of =
        |wanted: &str| set.iter().find(|(name, _)| plain(name) == plain(wanted)).and_then(|(_, value)| value.as_i64());
    match (of("NumLevelZeroTables"), of("NumLevelZeroTablesStall")) {
        (Some(tables), Some(stall)) if stall <= tables => Some(format!(
            "writes would stall at {stall} tables of level 0 (`NumLevelZeroTablesStall`) before compaction begins at {tables}"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_name_stands_once_and_in_order() {
        for names in [OPTIONS.map(|(name, _)| name).as_slice(), REFUSED.map(|(name, _)| name).as_slice()] {
            assert!(names.is_sorted(), "{names:?}");
        }
        assert!(OPTIONS.iter().all(|(name, _)| REFUSED.iter().all(|(other, _)| name != other)));
    }

    #[test]
    fn what_badger_refuses_is_refused_here() {
        for (name, value) in [
            ("NumCompactors", json!(0)),
            ("num_compactors", json!(2)),
            ("numLevelZeroTables", json!(3)),
            ("num-memtables", json!(2)),
            ("ValueLogFileSize", json!(1 << 28)),
            ("ValueThreshold", json!(1 << 20)),
            ("BloomFalsePositive", json!(0.01)),
            ("SyncWrites", json!(true)),
        ] {
            assert_eq!(check(name, &value), Ok(()), "{name}");
        }
        for (name, value, said) in [
            ("NumCompactors", json!(1), "`NumCompactors` cannot be 1"),
            ("NumCompactors", json!("2"), "cannot be \"2\""),
            ("NumMemtables", json!(0), "cannot be 0"),
            ("NumMemtables", json!(2.5), "cannot be 2.5"),
            ("ValueLogFileSize", json!(1 << 19), "cannot be 524288"),
            ("ValueLogFileSize", json!(2_u64 << 30), "cannot be 2147483648"),
            ("ValueThreshold", json!((1 << 20) + 1), "cannot be 1048577"),
            ("SyncWrites", json!(1), "cannot be 1"),
            ("bypass_lock_guard", json!(true), "two programs"),
            ("NumCompactor", json!(2), "Badger has no option `NumCompactor`"),
        ] {
            let (why, help) = check(name, &value).unwrap_err();
            assert!(why.contains(said) && !help.is_empty(), "{why}; {help}");
        }
        assert_eq!(check("num_compactor", &json!(2)).unwrap_err().1, "did you mean `NumCompactors`?");
    }
}
