"""Sqitch from Debian, without and with its verify scripts (which are off unless asked for)."""

import shutil
from pathlib import Path

from harness.sample import Migration
from harness.stopwatch import Command, run
from harness.tools.debian import ensure
from harness.tools.tool import Tool


class Sqitch(Tool):
    def __init__(self, verify: bool) -> None:
        self.verify = verify
        self.name = "sqitch --verify" if verify else "sqitch"
        self.safety = "dependencies, revert scripts" + (", verify" if verify else "")

    def install(self) -> None:
        # Its SQLite engine keeps the registry through the Perl driver, and runs scripts through the sqlite3 command.
        ensure("sqitch", "libdbd-sqlite3-perl", "sqlite3")

    def version(self) -> str:
        return run("sqitch", "--version").split()[-1].lstrip("v")

    def write(self, folder: Path, migrations: list[Migration]) -> None:
        (folder / "sqitch.conf").write_text("[core]\n\tengine = sqlite\n")
        for name in ("deploy", "revert", "verify"):
            (folder / name).mkdir()
        plan = ["%syntax-version=1.0.0", "%project=bench", ""]
        for m in migrations:
            change = f"make_{m.table}"
            plan.append(f"{change} 2026-01-01T00:00:00Z Bench <bench@example.org> # Makes {m.table}")
            (folder / "deploy" / f"{change}.sql").write_text(f"BEGIN;\n{m.up}COMMIT;\n")
            (folder / "revert" / f"{change}.sql").write_text(f"BEGIN;\n{m.down}COMMIT;\n")
            (folder / "verify" / f"{change}.sql").write_text(f"BEGIN;\n{m.probe}ROLLBACK;\n")
        (folder / "sqitch.plan").write_text("\n".join(plan) + "\n")

    def apply(self, folder: Path, work: Path) -> Command:
        return self._command("deploy", folder, work, *(["--verify"] if self.verify else ["--no-verify"]))

    def status(self, folder: Path, work: Path) -> Command:
        return self._command("status", folder, work)

    def _command(self, verb: str, folder: Path, work: Path, *options: str) -> Command:
        # The registry, sqitch.db, is made beside the database: a fresh one each round.
        target = f"db:sqlite:{self.database(work)}"
        nobody = {name: "/dev/null" for name in ("SQITCH_USER_CONFIG", "SQITCH_SYSTEM_CONFIG")}
        someone = {"SQITCH_FULLNAME": "Bench", "SQITCH_EMAIL": "bench@example.org"}
        program = shutil.which("sqitch") or "sqitch"
        return Command([program, verb, *options, "--target", target], env={**nobody, **someone}, cwd=folder)
