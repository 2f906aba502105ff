"""refinery: a crate; its binary here is `refinery-peer` of the bench workspace."""

from pathlib import Path

from harness.paths import BENCH
from harness.sample import Migration
from harness.stopwatch import Command, run
from harness.tools.cargo import build
from harness.tools.tool import Tool


class Refinery(Tool):
    name = "refinery"
    safety = "checksum"

    def install(self) -> None:
        self.program = build(BENCH, "refinery-peer", "refinery-peer")

    def version(self) -> str:
        return run("cargo", "pkgid", "refinery", cwd=BENCH).strip().rpartition("@")[2]

    def write(self, folder: Path, migrations: list[Migration]) -> None:
        for m in migrations:
            (folder / f"V{m.number}__make_{m.table}.sql").write_text(m.up)

    def apply(self, folder: Path, work: Path) -> Command:
        return self._command("apply", folder, work)

    def status(self, folder: Path, work: Path) -> Command:
        return self._command("status", folder, work)

    def _command(self, verb: str, folder: Path, work: Path) -> Command:
        return Command([str(self.program), verb, str(self.database(work)), str(folder)])
