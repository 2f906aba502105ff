"""The virtual environment of the peers that come from PyPI."""

import sys
from pathlib import Path

from harness.paths import BENCH, INSTALLED
from harness.stopwatch import run


def environment() -> Path:
    """The `bin` folder of a virtual environment that holds exactly requirements.txt."""
    home = INSTALLED / "python"
    if not (home / "bin" / "pip").exists():
        run(sys.executable, "-m", "venv", home)
    run(home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", "-r", BENCH / "requirements.txt")
    return home / "bin"
