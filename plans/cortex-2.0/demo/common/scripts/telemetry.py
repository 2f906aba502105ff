"""Publishes what the 2.0 tables say about the brain, for dashboards: cortex-brain/cache/telemetry.json.

    --publish   write it; needs `telemetry.enabled`
    --withdraw  remove it
    --reads     print how many conversations a second can be read, written nowhere; of 1.0 and 2.0

Exit code 1: it is to be published while `telemetry.enabled` is off.
"""

import argparse
import json
import os
import statistics
import sys
import time

from brain import CACHE, feature, has, reader

PUBLISHED = CACHE / "telemetry.json"


def publish():
    if not feature("telemetry.enabled"):
        print("telemetry: `telemetry.enabled` is off", file=sys.stderr)
        return 1
    with reader("tier2") as tier2, reader("tier3") as tier3:
        hooks, failed = tier2.execute(
            "SELECT count(*), coalesce(sum(status = 'failed'), 0) FROM plugin_hook_executions"
        ).fetchone()
        score = tier3.execute("SELECT overall_score FROM health_reports ORDER BY id DESC LIMIT 1").fetchone()
        runs = tier3.execute("SELECT count(*) FROM maintenance_runs").fetchone()[0]
    found = {"schema": "2.0", "hooks": hooks, "failed_hooks": failed, "score": score[0] if score else None, "maintenance_runs": runs}
    CACHE.mkdir(parents=True, exist_ok=True)
    fresh = PUBLISHED.with_suffix(".new")
    fresh.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    os.replace(fresh, PUBLISHED)
    print(f"telemetry: {hooks} hooks, {failed} failed, score {found['score']}")
    return 0


def withdraw():
    PUBLISHED.unlink(missing_ok=True)
    if CACHE.is_dir() and not any(CACHE.iterdir()):
        CACHE.rmdir()
    return 0


def reads():
    with reader("tier1") as db:
        if has(db, "conversations", "conversation_id") and has(db, "messages", "conversation_id"):
            ids = [row[0] for row in db.execute("SELECT conversation_id FROM conversations ORDER BY rowid DESC LIMIT 20")]
        else:
            ids = []
        sql = "SELECT role, content, timestamp FROM messages WHERE conversation_id = ?" if ids else "SELECT 1 WHERE ? IS NOT NULL"
        ids = ids or ["none"]
        rates = []
        for _ in range(15):
            began = time.perf_counter()
            for _ in range(10):
                for conversation in ids:
                    db.execute(sql, (conversation,)).fetchall()
            rates.append(10 * len(ids) / (time.perf_counter() - began))
    print(round(statistics.median(rates)))
    return 0


def main():
    parser = argparse.ArgumentParser(description="Publishes telemetry.")
    modes = parser.add_mutually_exclusive_group(required=True)
    for mode in (publish, withdraw, reads):
        modes.add_argument("--" + mode.__name__, dest="mode", action="store_const", const=mode)
    return parser.parse_args().mode()


if __name__ == "__main__":
    sys.exit(main())
