"""The command line: what to measure, in which order, and where the report goes."""

import argparse
from pathlib import Path

from harness import large, machine, report
from harness.paths import BENCH, DEFAULT_PLACE
from harness.peers import compare
from harness.sample import migrations
from harness.stopwatch import Failed, Stopwatch
from harness.tools import all_tools
from harness.tools.cargo import build
from harness.tools.cutover import Cutover


def main() -> int:
    tools = all_tools()
    args = _arguments([tool.name for tool in tools])
    chosen = [tool for tool in tools if not args.only or tool.name in args.only]
    place: Path = args.place.resolve()
    place.mkdir(parents=True, exist_ok=True)
    try:
        stopwatch = Stopwatch(build(BENCH, "stopwatch", "stopwatch"), place / "last-output.log")
        about = machine.describe(place)
    except Failed as failure:
        print(f"cannot measure: {failure}")
        return 1

    before = machine.load()
    entries = compare(chosen, migrations(args.migrations), args.rounds, place, stopwatch)
    ours = next((e for e in entries if isinstance(e.tool, Cutover) and e.tool.program), None)
    lines = large.measure(ours.tool, args.rounds, place, stopwatch) if ours and not args.no_large else []

    text = _text(args, about, before, report.comparison(entries, args.migrations), report.large(lines) if lines else "")
    print(text)
    (DEFAULT_PLACE / "results.md").write_text(text + "\n")
    failed = any(e.failure for e in entries if e.tool.ours) or any(line.failure for line in lines)
    return 1 if failed else 0


def _text(args: argparse.Namespace, about: list[str], before: str, comparison: str, large_plans: str) -> str:
    how = (
        f"{args.migrations} migrations, each a table and an index, on an empty SQLite file. Median (least–most) of "
        f"{args.rounds} interleaved rounds after one that was not counted, whole processes; ratios of medians, where "
        "less is faster. The tables and indexes were counted after every command. A no-op is the same apply again."
    )
    parts = ["# Cutover beside its peers", how, comparison]
    if large_plans:
        parts += ["## Large plans", large_plans]
    facts = [*about, f"load before {before}, after {machine.load()} (this run included)"]
    return "\n\n".join([*parts, "## Machine", "\n".join(f"- {fact}" for fact in facts)])


def _arguments(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests/bench/run",
        description="Installs the peers by name, measures them and Cutover, prints one table and writes it to "
        "target/bench/results.md. Exits 1 when Cutover fails; a peer that fails is shown as such.",
    )
    parser.add_argument("--rounds", type=_positive, default=7, help="counted rounds (default 7)")
    parser.add_argument("--migrations", type=_positive, default=200, help="migrations to apply (default 200)")
    parser.add_argument(
        "--place", type=Path, default=DEFAULT_PLACE, help="folder on the disk to measure (default target/bench)"
    )
    parser.add_argument("--only", action="append", choices=names, help="only this tool; may be repeated")
    parser.add_argument("--no-large", action="store_true", help="leave out the plans of 1,000 and 10,000 steps")
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
