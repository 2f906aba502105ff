"""The sample: N migrations, each one table and one index on it. Knows no tool."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Migration:
    """One migration, in words that every tool can be given."""

    number: int
    table: str
    index: str
    up: str
    down: str
    probe: str
    """Reads nothing, and fails when the table is not as declared."""


def migrations(count: int) -> list[Migration]:
    """The first `count` migrations of the sample."""
    return [migration(number) for number in range(1, count + 1)]


def migration(number: int) -> Migration:
    table = f"item_{number:05}"
    index = f"{table}_by_owner"
    return Migration(
        number=number,
        table=table,
        index=index,
        up=(
            f"CREATE TABLE {table} (\n"
            "  id INTEGER PRIMARY KEY,\n"
            "  owner TEXT NOT NULL,\n"
            "  body TEXT,\n"
            "  made_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP\n"
            ");\n"
            f"CREATE INDEX {index} ON {table} (owner, made_at);\n"
        ),
        down=f"DROP INDEX {index};\nDROP TABLE {table};\n",
        probe=f"SELECT id, owner, body, made_at FROM {table} WHERE 0;\n",
    )


def what_is_missing(database: Path, expected: list[Migration]) -> str | None:
    """Why `database` is not what all of `expected` make of an empty one; None when it is."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        found = set(connection.execute("SELECT type, name, tbl_name FROM sqlite_schema"))
    finally:
        connection.close()
    tables = sum(("table", m.table, m.table) in found for m in expected)
    indexes = sum(("index", m.index, m.table) in found for m in expected)
    if tables == indexes == len(expected):
        return None
    return f"made {tables} tables and {indexes} indexes of {len(expected)} each"
