"""dbmate: the Go binary inside its npm package, called without the Node wrapper around it."""

import json
import platform
from pathlib import Path

from harness.paths import INSTALLED
from harness.sample import Migration
from harness.stopwatch import Command, Failed, run
from harness.tools.tool import Tool

VERSION = "2.36.0"
NODE_NAMES = {"x86_64": "x64", "aarch64": "arm64"}


class Dbmate(Tool):
    name = "dbmate"
    safety = "down scripts"

    def install(self) -> None:
        home = INSTALLED / "npm"
        home.mkdir(parents=True, exist_ok=True)
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--logs-max=0"]
        run("npm", "install", *quiet, "--prefix", home, f"dbmate@{VERSION}")
        machine = platform.machine()
        self.program = home / f"node_modules/@dbmate/linux-{NODE_NAMES.get(machine, machine)}/bin/dbmate"
        if not self.program.exists():
            raise Failed(f"the npm package holds no binary for {machine}")

    def version(self) -> str:
        manifest = INSTALLED / "npm/node_modules/dbmate/package.json"
        return json.loads(manifest.read_text())["version"]

    def write(self, folder: Path, migrations: list[Migration]) -> None:
        for m in migrations:
            text = f"-- migrate:up\n{m.up}\n-- migrate:down\n{m.down}"
            (folder / f"2026010100{m.number:05}_make.sql").write_text(text)

    def apply(self, folder: Path, work: Path) -> Command:
        return self._command("up", folder, work)

    def status(self, folder: Path, work: Path) -> Command:
        return self._command("status", folder, work)

    def _command(self, verb: str, folder: Path, work: Path) -> Command:
        # Without --no-dump-schema it would also run sqlite3 to write schema.sql, which no other tool here does.
        options = ["--url", f"sqlite:{self.database(work)}", "--migrations-dir", str(folder), "--no-dump-schema"]
        return Command([str(self.program), *options, verb], cwd=work)
