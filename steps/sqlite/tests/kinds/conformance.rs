//! Every step kind of the crate is held to the contract by the testkit's conformance check.

use crate::support::{ask, brain, plan, sql};
use cutover_tests::{Conformance, Rule};

fn check_of(kind: &str, with: &str) -> Conformance {
    Conformance::new(plan(&[("it", kind, with)])).root(|root| brain(root, 30))
}

#[test]
fn columns_keep_the_contract() {
    check_of("columns", r#"{ table = "conversations", add = ["archived INTEGER DEFAULT 0", "task TEXT DEFAULT 'open' CHECK (task <> '')"] }"#)
        .sabotage(|root| sql(root, "ALTER TABLE conversations DROP COLUMN archived"))
        .foreign(
            |root| sql(root, "INSERT INTO conversations (conversation_id, agent_id, start_time, archived) VALUES ('c3', 'c', 'now', 1)"),
            |root| assert_eq!(ask(root, "SELECT agent_id FROM conversations WHERE conversation_id = 'c3'"), "c"),
        )
        .check();
}

#[test]
fn half_of_the_columns_being_there_is_kept_by_a_rollback() {
    Conformance::new(plan(&[(
        "it",
        "columns",
        r#"{ table = "conversations", add = ["archived INTEGER DEFAULT 0", "task TEXT"] }"#,
    )]))
    .root(|root| {
        brain(root, 3);
        sql(root, "ALTER TABLE conversations ADD COLUMN task text; CREATE INDEX theirs ON conversations(task)");
    })
    .sabotage(|root| sql(root, "ALTER TABLE conversations DROP COLUMN archived"))
    .no_foreign("the check above does it")
    .check();
}

#[test]
fn tables_keep_the_contract() {
    let script = "CREATE TABLE IF NOT EXISTS reports (id INTEGER PRIMARY KEY AUTOINCREMENT, score REAL NOT NULL CHECK (score >= 0));\n\
        -- each report has issues\n\
        CREATE TABLE issues (report_id INTEGER NOT NULL REFERENCES reports(id) ON DELETE CASCADE, title TEXT, UNIQUE (report_id, title));\n\
        CREATE INDEX idx_issues ON issues(title DESC) WHERE title IS NOT NULL;";
    check_of("tables", r#"{ script = "sql/new.sql" }"#)
        .file("sql/new.sql", script)
        .sabotage(|root| sql(root, "DROP INDEX idx_issues; CREATE INDEX idx_issues ON issues(title)"))
        .foreign(
            |root| sql(root, "INSERT INTO reports (score) VALUES (1); INSERT INTO conversations (conversation_id, agent_id, start_time) VALUES ('c3', 'c', 'now')"),
            |root| assert_eq!(ask(root, "SELECT count(*) FROM conversations"), "3"),
        )
        .check();
}

#[test]
fn indexes_keep_the_contract() {
    check_of("indexes", r#"{ create = ["CREATE INDEX idx_recent ON conversations(status, start_time DESC)", "CREATE UNIQUE INDEX idx_turn ON messages(conversation_id, turn)"] }"#)
        .sabotage(|root| sql(root, "DROP INDEX idx_recent; CREATE INDEX idx_recent ON conversations(status, start_time)"))
        .foreign(
            |root| sql(root, "CREATE INDEX theirs ON conversations(status)"),
            |root| assert_eq!(ask(root, "SELECT count(*) FROM sqlite_master WHERE name = 'theirs'"), "1"),
        )
        .check();
}

#[test]
fn rows_keep_the_contract() {
    let with = r#"{ table = "actions", key = ["session_id", "turn_number"], rows = [
        { session_id = "c1", turn_number = 2, description = "there already" },
        { session_id = "c9", turn_number = 1, description = ["a", "b"] },
        { session_id = { sql = "SELECT max(conversation_id) FROM conversations" }, turn_number = 1, description = { sql = "SELECT 'since ' || :since" } },
    ] }"#;
    check_of("rows", &with.replace('\n', ""))
        .sabotage(|root| sql(root, "UPDATE actions SET description = 'other' WHERE session_id = 'c9'"))
        .foreign(
            |root| sql(root, "INSERT INTO actions (session_id, turn_number) VALUES ('c9', 2)"),
            |root| assert_eq!(ask(root, "SELECT count(*) FROM actions"), "2"),
        )
        .check();
}

const FILL: &str = "rows = \"SELECT m.id AS source, m.conversation_id AS session_id, m.turn AS turn_number, m.content AS description \
    FROM messages m JOIN conversations USING (conversation_id) WHERE m.id > :since\"";

#[test]
fn a_backfill_keeps_the_contract() {
    check_of(
        "backfill",
        &format!(
            r#"{{ into = "actions", key = "source", unique = ["session_id", "turn_number"], batch = 7, {FILL} }}"#
        ),
    )
    .sabotage(|root| sql(root, "DELETE FROM actions WHERE id = 20"))
    .foreign(
        |root| sql(root, "INSERT INTO actions (session_id, turn_number) VALUES ('c9', 2)"),
        |root| assert_eq!(ask(root, "SELECT count(*) FROM actions"), "2"),
    )
    .check();
}

#[test]
fn a_check_keeps_the_contract() {
    let with = r#"{ tables = { conversations = ["status"] }, indexes = ["idx_conv_agent"], integrity = true,
        scalars = [{ name = "two", sql = "SELECT count(*) FROM conversations", equals = 2 }],
        latency = [{ name = "first", sql = "SELECT * FROM active LIMIT 1", p95-ms = 1000 }], any-of = [["column:conversations.agent_id"], ["empty"]] }"#;
    let report = check_of("check", &with.replace('\n', ""))
        .sabotage(|root| {
            sql(root, "INSERT INTO conversations (conversation_id, agent_id, start_time) VALUES ('c3', 'c', 'now')");
        })
        .check();
    assert!(report.checked.contains(&Rule::VerifyReads), "{report}");
}

#[test]
fn a_script_with_its_way_back_keeps_the_contract() {
    check_of("script", r#"{ up = "up.sql", down = "down.sql" }"#)
        .file(
            "up.sql",
            "UPDATE conversations SET status = 'done' WHERE conversation_id = 'c1';\nCREATE TABLE told (x);",
        )
        .file("down.sql", "UPDATE conversations SET status = 'active' WHERE conversation_id = 'c1';\nDROP TABLE told;")
        .no_sabotage("a script cannot tell what became of its work")
        .foreign(
            |root| sql(root, "UPDATE conversations SET agent_id = 'z' WHERE conversation_id = 'c2'"),
            |root| assert_eq!(ask(root, "SELECT agent_id FROM conversations WHERE conversation_id = 'c2'"), "z"),
        )
        .check();
}

#[test]
fn an_export_keeps_the_contract() {
    check_of("export", r#"{ into = "backups/brain.sql" }"#)
        .sabotage(|root| std::fs::write(root.join("backups/brain.sql"), "-- nothing").expect("the file is written"))
        .foreign(
            |root| sql(root, "UPDATE conversations SET agent_id = 'z' WHERE conversation_id = 'c2'"),
            |root| assert_eq!(ask(root, "SELECT agent_id FROM conversations WHERE conversation_id = 'c2'"), "z"),
        )
        .leaves("backups")
        .check();
}

const MAPPING: &str = r#"
name = "talk"
[[table]]
name = "turns"
old = "messages"
new = "turns"
key = [{ old = "id", new = "id" }]
[table.forth]
body = "old.content"
place = "old.turn"
[table.back]
conversation_id = "parent.code"
turn = "new.place"
content = "new.body"
[table.parent]
new = "talks"
id = "id"
refers = "talk"
key = { code = "old.conversation_id" }
"#;

const TALKS: &str = "CREATE TABLE talks (id INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT NOT NULL UNIQUE);
CREATE TABLE turns (id INTEGER PRIMARY KEY AUTOINCREMENT, talk INTEGER NOT NULL REFERENCES talks(id) ON DELETE CASCADE, body TEXT NOT NULL, place INTEGER NOT NULL);";

#[test]
fn an_expansion_keeps_the_contract() {
    check_of("expand", r#"{ mapping = "talk.toml", up = "talks.sql" }"#)
        .file("talk.toml", MAPPING)
        .file("talks.sql", TALKS)
        .sabotage(|root| sql(root, "DROP TRIGGER _cutover_turns_new_after_insert"))
        .foreign(
            |root| {
                sql(root, "INSERT INTO talks (code) VALUES ('c2'); INSERT INTO turns (talk, body, place) VALUES (1, 'new words', 77);
                    UPDATE messages SET content = 'other' WHERE id = 3");
            },
            |root| {
                assert_eq!(ask(root, "SELECT conversation_id || content FROM messages WHERE turn = 77"), "c2new words");
                assert_eq!(ask(root, "SELECT count(*) FROM sqlite_master WHERE name LIKE '\\_cutover\\_%' ESCAPE '\\'"), "0");
            },
        )
        .check();
}
