"""Where the brain's files are and how its programs open them. Knows every shape of the tiers."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "cortex-brain" / "cache"
TIERS = {
    "tier1": "cortex-brain/tier1/conversations.db",
    "tier2": "cortex-brain/tier2/knowledge_graph.db",
    "tier3": "cortex-brain/tier3/context.db",
}


def config():
    """The configuration, of version 1 or 2; an empty one where there is none."""
    path = ROOT / "cortex.config.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def feature(key):
    """The value of a dotted key of the configuration; None where it is not there."""
    found = config()
    for name in key.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def path_of(tier):
    """The file of a tier: `CORTEX_TIER1` and so on, else the 2.0 configuration, else where 1.0 keeps it."""
    declared = config().get("databases", {}).get(tier, {}).get("path", TIERS[tier])
    return Path(os.environ.get("CORTEX_" + tier.upper()) or ROOT / declared)


def reader(tier):
    """A connection that cannot write; closed at the end of its `with` block."""
    return closing(sqlite3.connect(path_of(tier).as_uri() + "?mode=ro", uri=True, timeout=30))


def writer(tier):
    """A connection that writes, with foreign keys enforced."""
    connection = sqlite3.connect(path_of(tier), timeout=30, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    return closing(connection)


def tables(connection):
    """The names of all tables."""
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def columns(connection, table):
    """The columns of a table, in order; none where there is no such table."""
    return [row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def has(connection, table, *wanted):
    """Whether the table is there with all of these columns."""
    return table in tables(connection) and set(wanted) <= set(columns(connection, table))


def withdraw(connection, table, where, args=(), cascade=()):
    """Deletes rows and frees their numbers, also of the tables whose rows go with them, so that nothing is left. How many."""
    connection.execute("BEGIN IMMEDIATE")
    gone = connection.execute(f'DELETE FROM "{table}" WHERE {where}', args).rowcount
    for name in (table, *cascade) if gone else ():
        connection.execute(
            f'UPDATE sqlite_sequence SET seq = (SELECT coalesce(max(id), 0) FROM "{name}") WHERE name = ?', (name,)
        )
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ? AND seq = 0", (name,))
    connection.execute("COMMIT")
    return gone


def active_sessions(connection):
    """SQL for the ids of the active conversations, in the words of the shape at hand; none where it has none."""
    if has(connection, "conversations", "status", "agent_id"):
        return "SELECT conversation_id FROM conversations WHERE status = 'active'"
    if has(connection, "conversations", "is_active"):
        return "SELECT conversation_id FROM conversations WHERE is_active = 1"
    return None
