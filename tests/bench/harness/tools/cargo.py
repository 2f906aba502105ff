"""Builds and installs with cargo, the tool chain being the one that the repository names."""

import json
from pathlib import Path

from harness.paths import INSTALLED, REPOSITORY
from harness.stopwatch import Failed, run


def build(workspace: Path, package: str, program: str) -> Path:
    """The release binary `program` of `package`, built when it is stale."""
    messages = run(
        "cargo", "build", "--release", "--locked", "--package", package, "--bin", program,
        "--message-format", "json-render-diagnostics", cwd=workspace,
    )  # fmt: skip
    for line in messages.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == program:
            return Path(message["executable"])
    raise Failed(f"cargo built no binary `{program}`")


def install(crate: str, version: str, program: str, *options: str) -> Path:
    """The binary `program` of `crate` at exactly `version`, from crates.io."""
    root = INSTALLED / "cargo"
    run("cargo", "install", crate, "--version", f"={version}", "--locked", "--root", root, *options, cwd=REPOSITORY)
    return root / "bin" / program
