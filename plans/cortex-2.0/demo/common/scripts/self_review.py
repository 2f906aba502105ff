"""Reviews the brain and scores it from 0 to 100.

    --before    remember the score of the brain as it is, for comparison (writes one file in cortex-brain/cache)
    --forget    forget it again
    --record    review, refuse what is worse than before, write one row of health_reports with its issues
    --withdraw  take that row away again; a row that somebody else wrote stays
    --daily     review and write a row, as the schedule does; nothing while self-reviews are switched off
    --score     review and print the score, write nothing
    --lost      print how many points the newest report is below the score of before the migration

Exit code 1: the review found something critical that was not there before, or a score more than 5 % lower.
"""

import argparse
import json
import os
import sys
import time

import boundary_guard
import brain
from brain import CACHE, ROOT, TIERS, feature, has, path_of, reader, tables, writer

REMEMBERED = CACHE / "self-review-before.json"
DASHBOARD = CACHE / "dashboard.json"
# The issue that marks a report as ours: in the same transaction as the report, so it is found again after a crash.
MARK = ("migration", "self-review of the 2.0 migration")
STATUSES = [(90, "excellent"), (75, "good"), (60, "fair"), (40, "poor"), (0, "critical")]


def milliseconds(connection, sql, args=()):
    start = time.perf_counter()
    connection.execute(sql, args).fetchall()
    return (time.perf_counter() - start) * 1000


def review():
    """Scores by category, and issues as (category, severity, title, description)."""
    issues, database, performance, storage = [], [], [], []
    for tier in TIERS:
        with reader(tier) as db:
            lines = [row[0] for row in db.execute("PRAGMA integrity_check(5)")]
            orphans = sum(1 for _ in db.execute("PRAGMA foreign_key_check"))
            pages, free = (db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("page_count", "freelist_count"))
            score = 100
            if lines != ["ok"]:
                score = 0
                issues.append(("database", "critical", f"{tier} is damaged", "; ".join(lines)))
            if orphans:
                score -= 15
                issues.append(("database", "warning", f"{tier} holds rows without a parent", f"{orphans} rows, left by eviction"))
            database.append(score)
            storage.append(100 - 100 * free / max(pages, 1))
            took, limit = 0.0, 100
            if has(db, "conversations", "conversation_id"):
                took = milliseconds(db, "SELECT * FROM conversations ORDER BY rowid DESC LIMIT 20")
            elif has(db, "pattern_fts", "title"):
                took, limit = milliseconds(db, "SELECT title FROM pattern_fts WHERE pattern_fts MATCH 'retry' LIMIT 20"), 200
            performance.append(100 if took < limit else 100 * limit / took)
            if took >= limit:
                issues.append(("performance", "warning", f"{tier} answers slowly", f"{took:.0f} ms, {limit} ms are allowed"))
    guarded = not boundary_guard.wrong()
    if not guarded:
        issues.append(("rules", "critical", "the boundary guard lets forbidden paths through", None))
    tested = (ROOT / "tests" / "run_suite.py").exists()
    if not tested:
        issues.append(("tests", "warning", "there is no test suite", None))
    scores = {
        "database": min(database),
        "performance": min(performance),
        "rule_compliance": 100 if guarded else 0,
        "test_coverage": 100 if tested else 0,
        "storage": min(storage),
    }
    return {name: round(float(score), 1) for name, score in scores.items()}, issues


def overall(scores):
    total = round(sum(scores.values()) / len(scores), 1)
    return total, next(name for least, name in STATUSES if total >= least)


def save(path, document):
    """Writes a file whole or not at all."""
    CACHE.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    os.replace(fresh, path)


def before():
    scores, issues = review()
    total, status = overall(scores)
    save(REMEMBERED, {"schema": "1.0", "score": total, "critical": [i[2] for i in issues if i[1] == "critical"]})
    print(f"self-review before the migration: {total} ({status})")
    return 0


def forget():
    REMEMBERED.unlink(missing_ok=True)
    if CACHE.is_dir() and not any(CACHE.iterdir()):
        CACHE.rmdir()
    print("self-review: the score of before is forgotten")
    return 0


def remembered():
    """What `--before` found."""
    return json.loads(REMEMBERED.read_text(encoding="utf-8")) if REMEMBERED.exists() else {"score": 0, "critical": []}


def write(db, scores, issues):
    """One report with its issues."""
    total, status = overall(scores)
    report = db.execute(
        "INSERT INTO health_reports (overall_status, overall_score, database_score, performance_score,"
        " rule_compliance_score, test_coverage_score, storage_score, auto_fixable_count, fixed_count)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 0, 0)",
        (status, total, *scores.values()),
    ).lastrowid
    db.executemany(
        "INSERT INTO health_issues (report_id, category, severity, title, description, detected_at)"
        " VALUES (?, ?, ?, ?, ?, CURRENT_TIMESTAMP)",
        [(report, *issue) for issue in issues],
    )


def record():
    scores, issues = review()
    total, status = overall(scores)
    then = remembered()
    new = [i[2] for i in issues if i[1] == "critical" and i[2] not in then["critical"]]
    if new or total < then["score"] * 0.95:
        print(f"self-review: {total} ({status}), it was {then['score']}; newly critical: {new or 'nothing'}", file=sys.stderr)
        return 1
    with writer("tier3") as db:
        db.execute("BEGIN IMMEDIATE")
        found = db.execute("SELECT report_id FROM health_issues WHERE category = ? AND title = ?", MARK).fetchone()
        if found is None:
            write(db, scores, [*issues, (MARK[0], "info", MARK[1], f"{then['score']} before, {total} now")])
        db.execute("COMMIT")
    save(DASHBOARD, {"schema": "2.0", "source": "health_reports", "status": status, "score": total})
    print(f"self-review: {total} ({status}), it was {then['score']}; {len(issues)} issues")
    return 0


def withdraw():
    if not path_of("tier3").exists():
        return 0
    with writer("tier3") as db:
        if not {"health_reports", "health_issues"} <= tables(db):
            return 0
        marked = "id IN (SELECT report_id FROM health_issues WHERE category = ? AND title = ?)"
        gone = brain.withdraw(db, "health_reports", marked, MARK, cascade=["health_issues"])
    print(f"self-review: {gone} report withdrawn")
    return 0


def daily():
    if not feature("plugins.config.self_review_plugin.enabled"):
        print("self-review: switched off")
        return 0
    scores, issues = review()
    with writer("tier3") as db:
        db.execute("BEGIN IMMEDIATE")
        write(db, scores, issues)
        db.execute("COMMIT")
    print("self-review: {} ({})".format(*overall(scores)))
    return 0


def score():
    print(overall(review()[0])[0])
    return 0


def lost():
    with reader("tier3") as db:
        newest = db.execute("SELECT overall_score FROM health_reports ORDER BY id DESC LIMIT 1").fetchone()
    print(round(max(remembered()["score"] - newest[0], 0), 1) if newest else "no report")
    return 0


def main():
    parser = argparse.ArgumentParser(description="Reviews the brain.")
    modes = parser.add_mutually_exclusive_group(required=True)
    for mode in (before, forget, record, withdraw, daily, score, lost):
        modes.add_argument("--" + mode.__name__, dest="mode", action="store_const", const=mode)
    return parser.parse_args().mode()


if __name__ == "__main__":
    sys.exit(main())
