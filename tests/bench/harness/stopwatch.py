"""Runs commands: plainly, or measured by the `stopwatch` binary. Knows no tool."""

import json
import os
import statistics
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class Failed(Exception):
    """A command, or what a tool needs, failed. The message is one line for the table."""


@dataclass(frozen=True)
class Command:
    """What to run, as an argument list, and what to add to the environment."""

    args: list[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


@dataclass(frozen=True)
class Measure:
    """One run of one command as a whole process."""

    wall: float
    """Seconds from before fork to after wait."""
    cpu: float
    """Seconds of processor time, user and system, children included."""
    rss: int
    """Peak resident bytes of the largest process."""


@dataclass(frozen=True)
class Summary:
    """Several runs of the same command."""

    median: float
    least: float
    most: float
    cpu: float
    rss: int

    @staticmethod
    def of(runs: list[Measure]) -> "Summary":
        walls = [run.wall for run in runs]
        return Summary(
            median=statistics.median(walls),
            least=min(walls),
            most=max(walls),
            cpu=statistics.median(run.cpu for run in runs),
            rss=max(run.rss for run in runs),
        )


def run(*args: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run to completion, unmeasured; its standard output. `Failed` with the reason that it gave otherwise."""
    words = [str(arg) for arg in args]
    try:
        done = subprocess.run(
            words,
            check=False,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise Failed(f"{words[0]}: {error.strerror}") from error
    if done.returncode != 0:
        raise Failed(f"{Path(words[0]).name}: {_reason(done.stderr or done.stdout)}")
    return done.stdout


class Stopwatch:
    """Measures commands with the binary at `program`; what they print goes to `log`."""

    def __init__(self, program: Path, log: Path):
        self.program = program
        self.log = log

    def measure(self, command: Command) -> Measure:
        """Run once. `Failed` with exit code and reason when it does not exit 0."""
        line = run(self.program, self.log, *command.args, cwd=command.cwd, env=command.env)
        result = json.loads(line)
        if result["code"] != 0:
            raise Failed(f"exit {result['code']}: {_reason(self.log.read_text(errors='replace'))}")
        return Measure(wall=result["wall"], cpu=result["cpu"], rss=result["rss"])


def _reason(text: str) -> str:
    """The line that names the error, or else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors[:1] or lines[-1:] or ["no output"])[0][:160]
