"""Where things are. Knows the repository's layout, nothing about tools."""

from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
REPOSITORY = BENCH.parent.parent
DEFAULT_PLACE = REPOSITORY / "target" / "bench"
# Installed tools stay here whatever disk is measured, so that a second run installs nothing.
INSTALLED = REPOSITORY / "target" / "bench" / "installed"
