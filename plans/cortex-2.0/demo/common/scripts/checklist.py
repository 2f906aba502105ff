"""What the migration's checklist asks of files.

    --backups FOLDER  look at the copies of the tiers in a folder: all three are there, sound, and have tables to give back
    --keep-plan       keep the migration plan that the assessment wrote, in cortex-brain/migrations
    --plan-kept       whether it is kept, as it was written
    --drop-plan       take it away from there again

Exit code 1: it is not so.
"""

import argparse
import shutil
import sqlite3
import sys
from contextlib import closing

from brain import ROOT, TIERS, path_of, tables

KEPT = ROOT / "cortex-brain" / "migrations"


def backups(folder):
    wrong = []
    for tier in TIERS:
        copy = ROOT / folder / tier / path_of(tier).name
        if not copy.exists():
            wrong.append(f"{tier}: there is no {copy.relative_to(ROOT)}")
            continue
        with closing(sqlite3.connect(copy.as_uri() + "?mode=ro&immutable=1", uri=True)) as db:
            said = [row[0] for row in db.execute("PRAGMA integrity_check(5)")]
            if said != ["ok"]:
                wrong.append(f"{tier}: {'; '.join(said)}")
            print(f"{tier}: {len(tables(db))} tables, {', '.join(said)}")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


def plans():
    return sorted(ROOT.glob("migration-plan-*.json"))


def plan_kept():
    kept = [KEPT / plan.name for plan in plans()]
    same = all(copy.exists() and copy.read_bytes() == plan.read_bytes() for copy, plan in zip(kept, plans()))
    return 0 if kept and same else 1


def keep_plan():
    if not plans():
        print("there is no migration-plan-*.json to keep", file=sys.stderr)
        return 1
    KEPT.mkdir(parents=True, exist_ok=True)
    for plan in plans():
        shutil.copy2(plan, KEPT / plan.name)
        print(f"kept {plan.name}")
    return plan_kept()


def drop_plan():
    for plan in plans():
        (KEPT / plan.name).unlink(missing_ok=True)
    if KEPT.is_dir() and not any(KEPT.iterdir()):
        KEPT.rmdir()
    return 0


def main():
    parser = argparse.ArgumentParser(description="Looks at what the checklist asks of files.")
    modes = parser.add_mutually_exclusive_group(required=True)
    modes.add_argument("--backups", metavar="FOLDER", help="look at the copies in a folder")
    for mode in (keep_plan, plan_kept, drop_plan):
        modes.add_argument("--" + mode.__name__.replace("_", "-"), dest="mode", action="store_const", const=mode)
    args = parser.parse_args()
    return backups(args.backups) if args.backups else args.mode()


if __name__ == "__main__":
    sys.exit(main())
