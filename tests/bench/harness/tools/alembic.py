"""Alembic, its environment as `alembic init` writes it, less the logging."""

from pathlib import Path

from harness.sample import Migration
from harness.stopwatch import Command, run
from harness.tools.python import environment
from harness.tools.tool import Tool

ENVIRONMENT = """\
import os
from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine("sqlite:///" + os.environ["BENCH_DATABASE"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=None)
    with context.begin_transaction():
        context.run_migrations()
"""


class Alembic(Tool):
    name = "alembic"
    safety = "down scripts"

    def install(self) -> None:
        self.program = environment() / "alembic"

    def version(self) -> str:
        return run(self.program, "--version").split()[-1]

    def write(self, folder: Path, migrations: list[Migration]) -> None:
        (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s\n")
        (folder / "env.py").write_text(ENVIRONMENT)
        versions = folder / "versions"
        versions.mkdir()
        before = None
        for m in migrations:
            this = f"r{m.number:05}"
            (versions / f"{this}.py").write_text(
                f"from alembic import op\n\nrevision = {this!r}\ndown_revision = {before!r}\n\n\n"
                f"def upgrade():\n{_statements(m.up)}\n\ndef downgrade():\n{_statements(m.down)}"
            )
            before = this

    def apply(self, folder: Path, work: Path) -> Command:
        return self._command(folder, work, "upgrade", "head")

    def status(self, folder: Path, work: Path) -> Command:
        return self._command(folder, work, "current")

    def _command(self, folder: Path, work: Path, *verb: str) -> Command:
        args = [str(self.program), "-c", str(folder / "alembic.ini"), *verb]
        return Command(args, env={"BENCH_DATABASE": str(self.database(work))})


def _statements(script: str) -> str:
    """A line of Python for each statement; the sample has no semicolon inside one."""
    return "".join(f"    op.execute({s.strip()!r})\n" for s in script.split(";") if s.strip())
