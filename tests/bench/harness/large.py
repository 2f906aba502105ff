"""What a large plan costs Cutover: a no-op of 1,000 steps, `plan` and `check` of 10,000."""

from dataclasses import dataclass
from pathlib import Path

from harness.peers import fresh
from harness.progress import say
from harness.sample import migrations, what_is_missing
from harness.stopwatch import Command, Failed, Stopwatch, Summary
from harness.tools.cutover import Cutover

APPLIED = 1_000
PLANNED = 10_000


@dataclass
class Large:
    """One line of the table of large plans."""

    what: str
    summary: Summary | None = None
    failure: str | None = None


def measure(tool: Cutover, rounds: int, place: Path, stopwatch: Stopwatch) -> list[Large]:
    """One line for each; a line that fails does not stop the next."""
    return [
        _line(f"no-op `apply` of {APPLIED:,} steps", lambda: _noop(tool, rounds, place, stopwatch)),
        _line(f"`plan` of {PLANNED:,} steps", lambda: _planned(tool, "plan", rounds, place, stopwatch)),
        _line(f"`check` of {PLANNED:,} steps", lambda: _planned(tool, "check", rounds, place, stopwatch)),
    ]


def _line(what: str, part) -> Large:
    say(f"large plans: {what}")
    try:
        return Large(what, summary=part())
    except Failed as failure:
        return Large(what, failure=str(failure))


def _noop(tool: Cutover, rounds: int, place: Path, stopwatch: Stopwatch) -> Summary:
    sample = migrations(APPLIED)
    folder, work = _written(tool, APPLIED, place)
    command = tool.apply(folder, work)
    stopwatch.measure(command)
    if missing := what_is_missing(tool.database(work), sample):
        raise Failed(f"after apply: {missing}")
    return _repeat(command, rounds, stopwatch)


def _planned(tool: Cutover, verb: str, rounds: int, place: Path, stopwatch: Stopwatch) -> Summary:
    folder, work = _written(tool, PLANNED, place)
    command = tool.plan(folder, work) if verb == "plan" else tool.check(folder)
    summary = _repeat(command, rounds, stopwatch)
    if tool.database(work).stat().st_size > 0:
        raise Failed(f"{verb} wrote to the database")
    return summary


def _written(tool: Cutover, count: int, place: Path) -> tuple[Path, Path]:
    folder = fresh(place / "migrations" / f"{tool.name}-{count}")
    tool.write(folder, migrations(count))
    work = fresh(place / "work")
    tool.database(work).touch()
    return folder, work


def _repeat(command: Command, rounds: int, stopwatch: Stopwatch) -> Summary:
    stopwatch.measure(command)
    return Summary.of([stopwatch.measure(command) for _ in range(rounds)])
