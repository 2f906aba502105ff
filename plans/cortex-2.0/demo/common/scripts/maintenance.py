"""Plans the maintenance of the three tiers, and does it when it may.

    --dry-run   print the plan as JSON, change nothing; works whatever the configuration says
    --planned   print for how many tiers there is a plan; 0 while `databaseMaintenance.enabled` is off
    --run       do what the plan says and write a row of maintenance_runs for each tier
    --withdraw  take the rows of `--run` away again

Exit code 1: it is to run, and `databaseMaintenance.mode` is not "active".
"""

import argparse
import json
import sys

import brain
from brain import TIERS, feature, has, path_of, reader, tables, writer

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
# Of this share of free pages on, a file is written anew.
FRAGMENTED = 0.1
BY = "migration"


def pages_of(db):
    """Pages, how many of them are free, and the size of one."""
    return (db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("page_count", "freelist_count", "page_size"))


def plan_of(tier):
    with reader(tier) as db:
        pages, free, size = pages_of(db)
        fragmentation = free / pages if pages else 0.0
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
        "operations": ["vacuum"] if fragmentation > FRAGMENTED else [],
        "rows_past_retention": expired,
    }


def dry_run():
    json.dump({"dry_run": True, "tiers": {tier: plan_of(tier) for tier in TIERS}}, sys.stdout, indent=2)
    print()
    return 0


def planned():
    print(len([plan_of(tier) for tier in TIERS]) if feature("databaseMaintenance.enabled") else 0)
    return 0


def run():
    if not feature("databaseMaintenance.enabled") or feature("databaseMaintenance.mode") != "active":
        print("maintenance: it may not run, `databaseMaintenance.mode` is not \"active\"", file=sys.stderr)
        return 1
    withdraw()
    for tier in TIERS:
        before = plan_of(tier)
        if "vacuum" in before["operations"]:
            with writer(tier) as db:
                db.execute("VACUUM")
        after = plan_of(tier)
        with writer("tier3") as db:
            db.execute(
                "INSERT INTO maintenance_runs (completed_at, tier, operations, fragmentation_before, fragmentation_after,"
                " size_before_mb, size_after_mb, space_reclaimed_mb, status)"
                " VALUES (CURRENT_TIMESTAMP, ?, ?, ?, ?, ?, ?, ?, 'success')",
                (
                    tier,
                    json.dumps({"by": BY, "done": before["operations"]}),
                    before["fragmentation"],
                    after["fragmentation"],
                    before["size_mb"],
                    after["size_mb"],
                    round(before["size_mb"] - after["size_mb"], 3),
                ),
            )
        print(f"maintenance: {tier}: {', '.join(before['operations']) or 'nothing to do'}")
    return 0


def withdraw():
    with writer("tier3") as db:
        if "maintenance_runs" in tables(db):
            brain.withdraw(db, "maintenance_runs", "json_extract(operations, '$.by') = ?", (BY,))
    return 0


def main():
    parser = argparse.ArgumentParser(description="Plans and does maintenance.")
    modes = parser.add_mutually_exclusive_group(required=True)
    for mode in (dry_run, planned, run, withdraw):
        modes.add_argument("--" + mode.__name__.replace("_", "-"), dest="mode", action="store_const", const=mode)
    return parser.parse_args().mode()


if __name__ == "__main__":
    sys.exit(main())
