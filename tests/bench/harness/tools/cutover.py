"""Cutover: one plan, one phase, a `sqlite.script` step with its down script per migration."""

from pathlib import Path

from harness.paths import REPOSITORY
from harness.sample import Migration
from harness.stopwatch import Command, run
from harness.tools.cargo import build
from harness.tools.tool import Tool


class Cutover(Tool):
    name = "cutover"
    ours = True
    safety = "verify, ledger, journal, rollback"

    def __init__(self) -> None:
        self.program: Path | None = None

    def install(self) -> None:
        if self.program is None:
            self.program = build(REPOSITORY, "cutover-runner", "cutover")

    def version(self) -> str:
        return run(self.program, "--version").split()[-1]

    def write(self, folder: Path, migrations: list[Migration]) -> None:
        scripts = folder / "sql"
        scripts.mkdir()
        head = (
            'name = "bench"\nsummary = "Tables and indexes"\n\n'
            '[targets.db]\nkind = "sqlite"\npath = "bench.db"\n\n'
            '[[phase]]\nname = "schema"\nlayer = "storage"\n'
        )
        plan = [head]
        for m in migrations:
            (scripts / f"{m.table}.sql").write_text(m.up)
            (scripts / f"{m.table}.down.sql").write_text(m.down)
            plan.append(
                f'\n[[phase.step]]\nid = "make-{m.number:05}"\nuse = "sqlite.script"\ntarget = "db"\n'
                f'with = {{ up = "sql/{m.table}.sql", down = "sql/{m.table}.down.sql" }}\n'
            )
        (folder / "plan.toml").write_text("".join(plan))

    def apply(self, folder: Path, work: Path) -> Command:
        return self._command("apply", folder, work, "--yes")

    def status(self, folder: Path, work: Path) -> Command:
        return self._command("status", folder, work)

    def plan(self, folder: Path, work: Path) -> Command:
        """What would be done; writes nothing."""
        return self._command("plan", folder, work)

    def check(self, folder: Path) -> Command:
        """Compile the plan and no more."""
        return Command([str(self.program), "check", str(folder / "plan.toml")])

    def _command(self, verb: str, folder: Path, work: Path, *more: str) -> Command:
        return Command([str(self.program), verb, str(folder / "plan.toml"), "--root", str(work), *more])
