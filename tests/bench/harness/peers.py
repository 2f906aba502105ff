"""Every tool applies the sample, again (a no-op), and says its status, in interleaved rounds."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.progress import say
from harness.sample import Migration, what_is_missing
from harness.stopwatch import Failed, Measure, Stopwatch, Summary
from harness.tools.tool import Tool

VERBS = ("apply", "no-op", "status")


@dataclass
class Entry:
    """One tool's part in the comparison."""

    tool: Tool
    version: str = "?"
    failure: str | None = None
    runs: dict[str, list[Measure]] = field(default_factory=lambda: {verb: [] for verb in VERBS})

    def summary(self, verb: str) -> Summary | None:
        """None when the tool failed: a median of the rounds before a failure would hide it."""
        return None if self.failure else Summary.of(self.runs[verb])


def compare(tools: list[Tool], sample: list[Migration], rounds: int, place: Path, stopwatch: Stopwatch) -> list[Entry]:
    """Install and prepare every tool, then `rounds` rounds after one that is not counted (it fills caches)."""
    entries = [Entry(tool) for tool in tools]
    for entry in entries:
        with _kept(entry):
            _prepare(entry, sample, place)
    for number in range(rounds + 1):
        say(f"round {number} of {rounds}" if number else "warm-up round, not counted")
        # Each round starts with another tool, so that no tool always runs after the same one.
        shift = number % len(entries)
        for entry in entries[shift:] + entries[:shift]:
            if entry.failure:
                continue
            with _kept(entry):
                _round(entry, sample, place, stopwatch, counted=number > 0)
    return entries


@contextmanager
def _kept(entry: Entry) -> Iterator[None]:
    """A failure becomes the entry's, for the table; the other tools go on."""
    try:
        yield
    except Failed as failure:
        entry.failure = str(failure)
        say(f"{entry.tool.name} failed: {failure}")


def _prepare(entry: Entry, sample: list[Migration], place: Path) -> None:
    say(f"installing {entry.tool.name}")
    entry.tool.install()
    entry.version = entry.tool.version()
    entry.tool.write(fresh(_folder(entry, place)), sample)


def _round(entry: Entry, sample: list[Migration], place: Path, stopwatch: Stopwatch, counted: bool) -> None:
    folder = _folder(entry, place)
    work = fresh(place / "work")
    database = entry.tool.database(work)
    database.touch()
    commands = {
        "apply": entry.tool.apply(folder, work),
        "no-op": entry.tool.apply(folder, work),
        "status": entry.tool.status(folder, work),
    }
    for verb in VERBS:
        measure = stopwatch.measure(commands[verb])
        if missing := what_is_missing(database, sample):
            raise Failed(f"after {verb}: {missing}")
        if counted:
            entry.runs[verb].append(measure)


def _folder(entry: Entry, place: Path) -> Path:
    return place / "migrations" / entry.tool.name.replace(" ", "")


def fresh(folder: Path) -> Path:
    """`folder`, existing and empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
