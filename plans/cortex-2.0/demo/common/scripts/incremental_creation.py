"""Writes a large file in chunks that can be taken up again after a failure.

    --test LINES   write a file of so many lines, fail in the middle, take it up again, and look at every line: in a
                   folder of its own, with a copy of tier 1

Exit code 1: the file or its record is not what it should be, or `incrementalCreation.enabled` is off.
"""

import argparse
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from brain import feature, reader

CHUNK = 100


def begin(db, path, lines):
    """The session of a file: a new one with its chunks, or the one that failed."""
    found = db.execute("SELECT id FROM creation_sessions WHERE file_path = ? AND completed = 0", (str(path),)).fetchone()
    if found:
        db.execute("UPDATE creation_sessions SET failed = 0, last_update = CURRENT_TIMESTAMP WHERE id = ?", found)
        return found[0]
    chunks = range(0, lines, CHUNK)
    session = db.execute(
        "INSERT INTO creation_sessions (file_path, file_type, total_chunks) VALUES (?, ?, ?)",
        (str(path), path.suffix.lstrip("."), len(chunks)),
    ).lastrowid
    db.executemany(
        "INSERT INTO creation_chunks (session_id, chunk_number, chunk_type, line_start, line_end) VALUES (?, ?, 'text', ?, ?)",
        [(session, number, first + 1, min(first + CHUNK, lines)) for number, first in enumerate(chunks, 1)],
    )
    return session


def create(db, path, lines, text, fail_after=None):
    """Writes the chunks that are not written yet. A chunk is on record only when it is in the file."""
    session = begin(db, path, lines)
    db.commit()
    written = db.execute(
        "SELECT coalesce(max(line_end), 0) FROM creation_chunks WHERE session_id = ? AND status = 'done'", (session,)
    ).fetchone()[0]
    kept = path.read_text(encoding="utf-8").splitlines(keepends=True)[:written] if path.exists() else []
    path.write_text("".join(kept), encoding="utf-8")
    pending = db.execute(
        "SELECT id, line_start, line_end FROM creation_chunks WHERE session_id = ? AND status <> 'done' ORDER BY chunk_number",
        (session,),
    ).fetchall()
    try:
        for done, (chunk, first, last) in enumerate(pending):
            with path.open("a", encoding="utf-8") as file:
                file.writelines(text(number) for number in range(first, last + 1))
                if fail_after == done:
                    raise OSError("the disk is full")
            db.execute("UPDATE creation_chunks SET status = 'done', updated_at = CURRENT_TIMESTAMP WHERE id = ?", (chunk,))
            db.commit()
    except OSError:
        db.execute("UPDATE creation_sessions SET failed = 1, last_update = CURRENT_TIMESTAMP WHERE id = ?", (session,))
        db.commit()
        raise
    db.execute("UPDATE creation_sessions SET completed = 1, last_update = CURRENT_TIMESTAMP WHERE id = ?", (session,))
    db.commit()


def test(lines):
    if not feature("incrementalCreation.enabled"):
        print("incremental creation: `incrementalCreation.enabled` is off", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder) / "tier1.db")) as db:
        with reader("tier1") as tier1:
            tier1.backup(db)
        path, text = Path(folder) / "large.md", "line {} of a large document\n".format
        try:
            create(db, path, lines, text, fail_after=lines // CHUNK // 2)
        except OSError:
            pass
        failed = db.execute("SELECT failed FROM creation_sessions WHERE file_path = ?", (str(path),)).fetchone()
        partial = len(path.read_text(encoding="utf-8").splitlines())
        create(db, path, lines, text)
        whole = path.read_text(encoding="utf-8") == "".join(text(number) for number in range(1, lines + 1))
        record = db.execute(
            "SELECT completed, failed, (SELECT count(*) FROM creation_chunks c WHERE c.session_id = s.id AND status = 'done')"
            " = total_chunks FROM creation_sessions s WHERE file_path = ?",
            (str(path),),
        ).fetchone()
    print(f"incremental creation: failed at line {partial}, taken up again, {lines} lines")
    return 0 if failed == (1,) and 0 < partial < lines and whole and record == (1, 0, 1) else 1


def main():
    parser = argparse.ArgumentParser(description="Writes large files in chunks.")
    parser.add_argument("--test", type=int, required=True, metavar="LINES", help="write a file of so many lines and look at it")
    return test(parser.parse_args().test)


if __name__ == "__main__":
    sys.exit(main())
