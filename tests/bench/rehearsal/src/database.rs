//! Databases of a given size, made once and the same every time.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::Result;

/// How rows are found again, which decides how a fingerprint reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// `INTEGER PRIMARY KEY`: in key order.
    Integer,
    /// `TEXT PRIMARY KEY`: as a multiset.
    Text,
}

/// A tier of a CORTEX brain: `megabytes` of messages of 200 bytes with an index, and some conversations.
pub(crate) fn tier(path: &Path, megabytes: u64) -> Result<String> {
    // Each row takes about 232 bytes of its table and 12 of the index.
    let wanted = megabytes * 1_000_000 / 244;
    let known: i64 =
        Connection::open(path)?.query_row("SELECT max(id) FROM messages", [], |row| row.get(0)).unwrap_or_default();
    if u64::try_from(known)? != wanted {
        std::fs::remove_file(path)?;
        let mut conn = Connection::open(path)?;
        conn.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
        let change = conn.transaction()?;
        change.execute_batch(
            "CREATE TABLE conversations(conversation_id TEXT PRIMARY KEY, title TEXT NOT NULL, started_at TEXT NOT NULL);
             CREATE TABLE messages(id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, role TEXT NOT NULL,
               sent_at TEXT NOT NULL, body TEXT NOT NULL);",
        )?;
        let mut words = Words(1);
        {
            let mut message = change.prepare("INSERT INTO messages VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for id in 1..=i64::try_from(wanted)? {
                let role = if id % 2 == 0 { "assistant" } else { "user" };
                message.execute(params![id, id / 50, role, "2026-11-21T09:33:43Z", words.text(164)])?;
            }
            let mut conversation = change.prepare("INSERT INTO conversations VALUES (?1, ?2, ?3)")?;
            for id in 0..=i64::try_from(wanted)? / 50 {
                conversation.execute(params![words.text(36), words.text(60), "2026-11-21T09:33:43Z"])?;
                let _ = id;
            }
        }
        change.execute_batch("CREATE INDEX by_conversation ON messages(conversation)")?;
        change.commit()?;
    }
    std::fs::File::open(path)?.sync_all()?;
    Ok(format!("{} MB, {wanted} messages of 200 bytes, an index", path.metadata()?.len() / 1_000_000))
}

/// `megabytes` of rows of `size` bytes in one table; returns the bytes of all values.
pub(crate) fn rows(path: &Path, size: usize, key: Key, megabytes: u64) -> Result<u64> {
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    let mut conn = Connection::open(path)?;
    conn.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    let change = conn.transaction()?;
    let columns = if key == Key::Integer { "id INTEGER PRIMARY KEY" } else { "id TEXT PRIMARY KEY" };
    change.execute_batch(&format!("CREATE TABLE messages({columns}, conversation INTEGER, at TEXT, body TEXT)"))?;
    let mut words = Words(1);
    // 16 of key, 8 of conversation, 8 of time; an integer key counts 8.
    let fixed = if key == Key::Integer { 24 } else { 32 };
    let wanted = megabytes * 1_000_000 / size as u64;
    {
        let mut insert = change.prepare("INSERT INTO messages VALUES (?1, ?2, ?3, ?4)")?;
        for id in 1..=i64::try_from(wanted)? {
            let body = words.text(size - fixed);
            match key {
                Key::Integer => insert.execute(params![id, id << 32, "20261121", body])?,
                Key::Text => insert.execute(params![format!("{:016x}", words.next()), id << 32, "20261121", body])?,
            };
        }
    }
    change.commit()?;
    Ok(wanted * size as u64)
}

/// Text that does not repeat itself soon.
#[derive(Debug)]
struct Words(u64);

impl Words {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ (self.0 >> 29)
    }

    fn text(&mut self, length: usize) -> String {
        let mut text = String::with_capacity(length + 16);
        while text.len() < length {
            text.push_str(&format!("{:016x}", self.next()));
        }
        text.truncate(length);
        text
    }
}
