"""Plans the maintenance of the three tiers and prints the plan as JSON. Reads only: `--dry-run` is all it can do yet."""

import argparse
import json
import sys

from brain import TIERS, has, path_of, reader, tables

# How long rows are kept, from the 2.0 document: table, tier, time column, days.
RETENTION = [
    ("conversation_actions", "tier1", "created_at", 60),
    ("creation_sessions", "tier1", "last_update", 30),
    ("plugin_hook_executions", "tier2", "started_at", 30),
    ("provenance_links", "tier2", "created_at", 365),
    ("archival_operations", "tier3", "started_at", 180),
    ("boundary_events", "tier3", "occurred_at", 90),
    ("health_reports", "tier3", "created_at", 180),
    ("maintenance_runs", "tier3", "started_at", 90),
    ("retention_policy_snapshots", "tier3", "created_at", 90),
]


def plan_of(tier):
    with reader(tier) as db:
        pages, free, size = (db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("page_count", "freelist_count", "page_size"))
        present = tables(db)
        fragmentation = free / pages if pages else 0.0
        operations = ["analyze"] if present else []
        if fragmentation > 0.1:
            operations.insert(0, "vacuum")
        operations += [f"optimize {name}" for name in sorted(present) if name.endswith("_fts")]
        expired = {}
        for table, home, column, days in RETENTION:
            if home == tier and has(db, table, column):
                finished = " AND completed = 1" if table == "creation_sessions" else ""
                expired[table] = db.execute(
                    f'SELECT count(*) FROM "{table}" WHERE "{column}" < datetime(\'now\', ?){finished}', (f"-{days} days",)
                ).fetchone()[0]
    return {
        "file": path_of(tier).name,
        "size_mb": round(pages * size / 1e6, 3),
        "fragmentation": round(fragmentation, 4),
        "operations": operations,
        "rows_past_retention": expired,
    }


def main():
    parser = argparse.ArgumentParser(description="Plans maintenance.")
    parser.add_argument("--dry-run", action="store_true", required=True, help="print the plan and change nothing")
    parser.parse_args()
    json.dump({"dry_run": True, "tiers": {tier: plan_of(tier) for tier in TIERS}}, sys.stdout, indent=2)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
