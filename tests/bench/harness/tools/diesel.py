"""diesel_cli, built with the SQLite that it bundles."""

import re
from pathlib import Path

from harness.sample import Migration
from harness.stopwatch import Command, run
from harness.tools.cargo import install
from harness.tools.tool import Tool

VERSION = "2.3.14"


class Diesel(Tool):
    name = "diesel_cli"
    safety = "down scripts"

    def install(self) -> None:
        self.program = install("diesel_cli", VERSION, "diesel", "--no-default-features", "--features", "sqlite-bundled")

    def version(self) -> str:
        said = re.search(r"Version: (\S+)", run(self.program, "--version"))
        return said[1] if said else f"{VERSION}?"

    def write(self, folder: Path, migrations: list[Migration]) -> None:
        for m in migrations:
            # The version is what stands before the first underscore.
            place = folder / f"{m.number:05}_make"
            place.mkdir()
            (place / "up.sql").write_text(m.up)
            (place / "down.sql").write_text(m.down)

    def apply(self, folder: Path, work: Path) -> Command:
        return self._command("run", folder, work)

    def status(self, folder: Path, work: Path) -> Command:
        return self._command("list", folder, work)

    def _command(self, verb: str, folder: Path, work: Path) -> Command:
        args = ["migration", verb, "--migration-dir", str(folder), "--database-url", str(self.database(work))]
        return Command([str(self.program), *args], cwd=work)
