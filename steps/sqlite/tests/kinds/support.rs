//! What the tests of step kinds share: a small 1.0 brain in our own words, SQL by hand, plans of one step.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;

/// A CORTEX 1.0 tier 1: conversations, messages (some of a conversation that is gone), a view and a trigger.
pub(crate) const BRAIN: &str = "
CREATE TABLE conversations (
  conversation_id TEXT PRIMARY KEY, agent_id TEXT NOT NULL, start_time TEXT NOT NULL, -- when it began
  status TEXT DEFAULT 'active', message_count INTEGER DEFAULT 0
);
CREATE INDEX idx_conv_agent ON conversations(agent_id);
CREATE TABLE messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, conversation_id TEXT NOT NULL, turn INTEGER NOT NULL, content TEXT NOT NULL,
  FOREIGN KEY (conversation_id) REFERENCES conversations(conversation_id)
);
CREATE TABLE actions (
  id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, turn_number INTEGER NOT NULL, description TEXT
);
CREATE INDEX idx_actions ON actions(session_id, turn_number);
CREATE VIEW active AS SELECT * FROM conversations WHERE status = 'active';
CREATE TRIGGER counted AFTER INSERT ON messages BEGIN
  UPDATE conversations SET message_count = message_count + 1 WHERE conversation_id = NEW.conversation_id;
END;
INSERT INTO conversations (conversation_id, agent_id, start_time) VALUES
  ('c1', 'a', '2025-11-01T10:00:00'), ('c2', 'b', '2025-11-02T10:00:00');
INSERT INTO actions (session_id, turn_number, description) VALUES ('c1', 2, 'was here before');
";

/// Makes the brain at `root/brain.db`, with this many messages in each of three conversations (one of them gone).
pub(crate) fn brain(root: &Path, messages: u32) {
    sql(root, BRAIN);
    sql(
        root,
        &format!(
            "PRAGMA foreign_keys = OFF;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {messages}),
               c(id) AS (VALUES ('c1'), ('c2'), ('evicted'))
             INSERT INTO messages (conversation_id, turn, content) SELECT c.id, n.i, 'words ' || n.i FROM n, c;"
        ),
    );
}

/// Runs SQL on `root/brain.db` as the application would.
pub(crate) fn sql(root: &Path, text: &str) {
    let conn = Connection::open(root.join("brain.db")).expect("the brain opens");
    conn.execute_batch(text).unwrap_or_else(|e| panic!("{text}: {e}"));
}

/// The first value of a query on `root/brain.db`, as text.
pub(crate) fn ask(root: &Path, query: &str) -> String {
    let conn = Connection::open(root.join("brain.db")).expect("the brain opens");
    let value: Value = conn.query_row(query, [], |row| row.get(0)).unwrap_or_else(|e| panic!("{query}: {e}"));
    match value {
        Value::Null => "null".to_owned(),
        Value::Integer(i) => i.to_string(),
        Value::Real(r) => r.to_string(),
        Value::Text(t) => t,
        Value::Blob(b) => format!("{} bytes", b.len()),
    }
}

/// A plan whose steps these are: (id, kind, with), all on the target `brain`.
pub(crate) fn plan(steps: &[(&str, &str, &str)]) -> String {
    let mut text = "name = \"kinds\"\n[vars]\nsince = 0\n[targets.brain]\nkind = \"sqlite\"\npath = \"brain.db\"\n\
        [[phase]]\nname = \"all\"\nlayer = \"storage\"\n"
        .to_owned();
    for (id, kind, with) in steps {
        text.push_str(&format!(
            "[[phase.step]]\nid = \"{id}\"\nuse = \"sqlite.{kind}\"\ntarget = \"brain\"\nwith = {with}\n"
        ));
    }
    text
}
