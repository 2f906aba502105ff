"""What the figures were taken on."""

import os
import platform
import sqlite3
from pathlib import Path

from harness.paths import REPOSITORY
from harness.stopwatch import run


def describe(place: Path) -> list[str]:
    """Facts, one a line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}",
        f"databases on {_filesystem(place)}",
        run("rustc", "--version", cwd=REPOSITORY).strip(),
        f"commit {_commit()}",
        f"Python {platform.python_version()}, its SQLite {sqlite3.sqlite_version}",
    ]


def load() -> str:
    """The load average of the last minute, to judge the figures by."""
    return f"{os.getloadavg()[0]:.1f}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _filesystem(place: Path) -> str:
    """Its type, by the longest mount point above `place`."""
    path = str(place.resolve())
    found = ("", "an unknown file system")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(found[0]):
            found = (point, kind)
    return found[1]


def _commit() -> str:
    commit = run("git", "rev-parse", "--short", "HEAD", cwd=REPOSITORY).strip()
    return commit + (" with changes" if run("git", "status", "--porcelain", cwd=REPOSITORY) else "")
