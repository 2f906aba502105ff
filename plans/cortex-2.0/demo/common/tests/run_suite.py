"""The brain's test suite: the same for 1.0 and 2.0, for every shape of the tiers. Reads only; what must write works on
a copy in memory.

    --stage before    what must hold of a 1.0 brain, before and after the migration and after a rollback
    --stage schema    and: the 2.0 tables and columns are there, and 1.0 statements still work
    --stage backfill  and: what the migration filled in is there and is right
    --stage cutover   and: every 2.0 feature is on, and what it writes is there
"""

import argparse
import functools
import json
import sqlite3
import sys
import unittest
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from brain import ROOT, TIERS, active_sessions, columns, feature, has, path_of, reader, tables  # noqa: E402

STAGES = ["before", "schema", "backfill", "cutover"]
COPY_LIMIT = 256 * 1024 * 1024
V2_TABLES = {
    "tier1": ["conversation_actions", "conversation_state_snapshots", "creation_chunks", "creation_sessions"],
    "tier2": ["plugin_hook_executions", "plugins", "provenance_links"],
    "tier3": [
        "archival_operations",
        "boundary_events",
        "health_issues",
        "health_reports",
        "maintenance_runs",
        "retention_policy_snapshots",
    ],
}
reached = 0


def since(stage):
    """Runs a test at `stage` and at every later one; which one it is, is known only when the test runs."""

    def decorate(test):
        @functools.wraps(test)
        def run(self):
            if STAGES.index(stage) > reached:
                self.skipTest(f"from stage {stage} on")
            test(self)

        return run

    return decorate


class Brain(unittest.TestCase):
    def value(self, db, sql, *args):
        return db.execute(sql, args).fetchone()[0]

    def need(self, db, table, *wanted):
        if not has(db, table, *wanted):
            self.skipTest(f"this shape has no {table}({', '.join(wanted)})")

    def copy(self, tier):
        if path_of(tier).stat().st_size > COPY_LIMIT:
            self.skipTest("too large to copy into memory")
        copy = sqlite3.connect(":memory:")
        with reader(tier) as db:
            db.backup(copy)
        return closing(copy)

    def test_every_tier_is_sound(self):
        for tier in TIERS:
            with self.subTest(tier), reader(tier) as db:
                self.assertEqual(self.value(db, "PRAGMA quick_check"), "ok")


class Tier1(Brain):
    def test_kept_conversations_still_have_their_messages(self):
        with reader("tier1") as db:
            self.need(db, "conversations", "conversation_id", "message_count")
            silent = db.execute(
                "SELECT conversation_id FROM conversations c WHERE message_count > 0"
                " AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.conversation_id = c.conversation_id)"
            ).fetchall()
            self.assertEqual(silent, [])

    def test_messages_are_read_in_the_order_of_time(self):
        with reader("tier1") as db:
            self.need(db, "messages", "conversation_id", "timestamp")
            self.assertEqual(self.value(db, "SELECT count(*) FROM messages WHERE content IS NULL OR timestamp IS NULL"), 0)

    def test_a_1_0_program_can_still_begin_a_conversation(self):
        with self.copy("tier1") as db:
            if has(db, "conversations", "agent_id"):
                db.execute("INSERT INTO conversations (conversation_id, agent_id, start_time) VALUES ('new', 'me', '2025-11-07')")
            elif has(db, "conversations", "is_active"):
                db.execute("INSERT INTO conversations (conversation_id, title, is_active) VALUES ('new', 'A new one', 1)")
            else:
                self.skipTest("this shape has no conversations")
            self.assertIn(("new",), db.execute(active_sessions(db)).fetchall())
            if "task_status" in columns(db, "conversations"):
                self.assertEqual(self.value(db, "SELECT task_status FROM conversations WHERE conversation_id = 'new'"), "open")

    @since("schema")
    def test_conversations_carry_the_2_0_columns(self):
        with reader("tier1") as db:
            self.need(db, "conversations", "conversation_id")
            self.assertLessEqual({"task_status", "archived", "last_action_at"}, set(columns(db, "conversations")))
            self.assertEqual(self.value(db, "SELECT count(*) FROM conversations WHERE task_status IS NULL OR archived IS NULL"), 0)

    @since("backfill")
    def test_active_sessions_have_the_actions_of_their_last_fifty_turns(self):
        with reader("tier1") as db:
            sql = active_sessions(db)
            if sql is None:
                self.skipTest("this shape has no conversations")
            for (session,) in db.execute(sql).fetchall():
                turns = self.value(db, "SELECT count(*) FROM messages WHERE conversation_id = ?", session)
                seen = db.execute(
                    "SELECT count(*), min(turn_number), max(turn_number) FROM conversation_actions WHERE session_id = ?", (session,)
                ).fetchone()
                wanted = (min(turns, 50), max(turns - 49, 1) if turns else None, turns or None)
                self.assertEqual(seen, wanted, session)

    @since("backfill")
    def test_failed_large_writes_can_be_taken_up_again(self):
        with reader("tier1") as db:
            self.need(db, "files_modified", "operation")
            missing = db.execute(
                "SELECT file_path FROM files_modified f WHERE operation = 'create_failed'"
                " AND NOT EXISTS (SELECT 1 FROM files_modified g WHERE g.file_path = f.file_path"
                " AND g.operation IN ('create', 'modify') AND g.timestamp > f.timestamp)"
                " AND file_path NOT IN (SELECT file_path FROM creation_sessions WHERE completed = 0)"
            ).fetchall()
            self.assertEqual(missing, [])


class Tier2(Brain):
    def test_search_finds_what_the_patterns_say(self):
        with reader("tier2") as db:
            self.need(db, "pattern_fts", "title")
            found = db.execute(
                "SELECT p.title, p.content FROM pattern_fts JOIN patterns p ON p.id = pattern_fts.rowid"
                " WHERE pattern_fts MATCH 'retry' LIMIT 20"
            ).fetchall()
            for title, content in found:
                self.assertIn("retry", (title + content).lower())

    def test_a_new_pattern_can_be_searched_at_once(self):
        with self.copy("tier2") as db:
            self.need(db, "pattern_fts", "title")
            db.execute(
                "INSERT INTO patterns (pattern_id, title, content, pattern_type, created_at, last_accessed)"
                " VALUES ('new', 'Xylophone rule', 'Never tune in public', 'principle', '2025-11-07', '2025-11-07')"
            )
            self.assertEqual(self.value(db, "SELECT count(*) FROM pattern_fts WHERE pattern_fts MATCH 'xylophone'"), 1)

    @since("backfill")
    def test_every_plugin_of_the_registry_is_registered(self):
        registry = ROOT / "cortex-brain" / "plugins.json"
        if not registry.exists():
            self.skipTest("this brain has no registry file")
        wanted = {entry["plugin_id"] for entry in json.loads(registry.read_text(encoding="utf-8"))}
        with reader("tier2") as db:
            self.assertLessEqual(wanted, {row[0] for row in db.execute("SELECT plugin_id FROM plugins")})

    @since("backfill")
    def test_provenance_names_a_migration_that_the_ledger_knows(self):
        with reader("tier2") as db:
            link = db.execute("SELECT created_at FROM provenance_links WHERE source_ref = 'MIGRATION_START'").fetchall()
            self.assertEqual(len(link), 1)
            ledgers = [t for t in tables(db) if has(db, t, "name", "applied_at", "checksum", "success")]
            starts = [
                row[0]
                for ledger in ledgers
                for row in db.execute(f'SELECT applied_at FROM "{ledger}" WHERE name = \'MIGRATION_START\' AND success = 1')
            ]
            self.assertEqual(len(starts), 1)
            self.assertLessEqual(self.value(db, "SELECT julianday(?) - julianday(?)", starts[0], link[0][0]), 0)


class Tier3(Brain):
    def test_net_growth_is_what_was_added_less_what_was_deleted(self):
        with reader("tier3") as db:
            self.need(db, "context_git_metrics", "net_growth")
            wrong = self.value(db, "SELECT count(*) FROM context_git_metrics WHERE net_growth <> lines_added - lines_deleted")
            self.assertEqual(wrong, 0)

    @since("backfill")
    def test_dashboards_find_a_report_and_a_policy_for_each_tier(self):
        with reader("tier3") as db:
            self.assertGreaterEqual(self.value(db, "SELECT count(*) FROM health_reports"), 1)
            kept = {row[0] for row in db.execute("SELECT tier FROM retention_policy_snapshots")}
            self.assertLessEqual(set(TIERS), kept)


class Features(Brain):
    @since("cutover")
    def test_every_feature_is_on(self):
        wanted = {
            "plugins.config.hook_logging.enabled": True,
            "plugins.config.self_review_plugin.enabled": True,
            "databaseMaintenance.enabled": True,
            "databaseMaintenance.mode": "active",
            "incrementalCreation.enabled": True,
            "telemetry.enabled": True,
        }
        self.assertEqual({key: feature(key) for key in wanted}, wanted)

    @since("cutover")
    def test_hooks_are_logged_and_maintenance_is_on_record(self):
        with reader("tier2") as db:
            self.assertGreater(self.value(db, "SELECT count(*) FROM plugin_hook_executions WHERE status = 'success'"), 0)
        with reader("tier3") as db:
            ran = {row[0] for row in db.execute("SELECT tier FROM maintenance_runs WHERE status = 'success'")}
            self.assertEqual(ran, set(TIERS))


class Schema(Brain):
    @since("schema")
    def test_every_2_0_table_is_at_its_tier(self):
        for tier, wanted in V2_TABLES.items():
            with self.subTest(tier), reader(tier) as db:
                self.assertEqual([t for t in wanted if t not in tables(db)], [])

    @since("schema")
    def test_audit_rows_go_with_their_plugin(self):
        with self.copy("tier2") as db:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("INSERT INTO plugins (plugin_id, name, version, category, priority) VALUES ('x', 'X', '1', 'test', 1)")
            db.execute("INSERT INTO plugin_hook_executions (plugin_id, hook) VALUES ('x', 'on_test')")
            db.execute("DELETE FROM plugins WHERE plugin_id = 'x'")
            self.assertEqual(self.value(db, "SELECT count(*) FROM plugin_hook_executions WHERE plugin_id = 'x'"), 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Runs the brain's test suite.")
    parser.add_argument("--stage", choices=STAGES, default="before")
    reached = STAGES.index(parser.parse_args().stage)
    unittest.main(argv=[sys.argv[0]])
