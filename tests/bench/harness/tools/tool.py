"""What a tool has to answer to take part. Knows no particular tool."""

from abc import ABC, abstractmethod
from pathlib import Path

from harness.sample import Migration
from harness.stopwatch import Command


class Tool(ABC):
    """One contender. Methods raise `Failed` when the tool cannot do it; the table then shows why."""

    name: str
    """As in the table, and as given to `--only`."""
    ours = False
    safety: str
    """What it does for each migration beyond running it, in a few words."""

    @abstractmethod
    def install(self) -> None:
        """Install what is missing, by name, from a package registry."""

    @abstractmethod
    def version(self) -> str:
        """The version that runs, said by the tool."""

    @abstractmethod
    def write(self, folder: Path, migrations: list[Migration]) -> None:
        """Write the migrations into the empty `folder` in this tool's own format."""

    @abstractmethod
    def apply(self, folder: Path, work: Path) -> Command:
        """Apply all to `database(work)`. Run a second time it is the no-op."""

    @abstractmethod
    def status(self, folder: Path, work: Path) -> Command:
        """Say what is applied."""

    @staticmethod
    def database(work: Path) -> Path:
        """The database of one round, a file of no bytes. `work` is a fresh folder; all that the tool keeps goes there."""
        return work / "bench.db"
