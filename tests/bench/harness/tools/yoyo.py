"""yoyo-migrations, with migrations as SQL files."""

from pathlib import Path

from harness.sample import Migration
from harness.stopwatch import Command, run
from harness.tools.python import environment
from harness.tools.tool import Tool


class Yoyo(Tool):
    name = "yoyo"
    safety = "lock row, down scripts"

    def install(self) -> None:
        self.program = environment() / "yoyo"

    def version(self) -> str:
        code = "import importlib.metadata as m; print(m.version('yoyo-migrations'))"
        return run(self.program.with_name("python"), "-c", code).strip()

    def write(self, folder: Path, migrations: list[Migration]) -> None:
        for m in migrations:
            (folder / f"{m.number:05}.make.sql").write_text(m.up)
            (folder / f"{m.number:05}.make.rollback.sql").write_text(m.down)

    def apply(self, folder: Path, work: Path) -> Command:
        return self._command("apply", folder, work)

    def status(self, folder: Path, work: Path) -> Command:
        return self._command("list", folder, work)

    def _command(self, verb: str, folder: Path, work: Path) -> Command:
        options = ["--batch", "--no-config-file", "--database", f"sqlite:///{self.database(work)}"]
        return Command([str(self.program), verb, *options, str(folder)], cwd=work)
