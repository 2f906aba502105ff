"""Packages from Debian, installed only where they are missing."""

import os

from harness.stopwatch import Failed, run


def ensure(*packages: str) -> None:
    """Install those of `packages` that are not installed."""
    missing = [package for package in packages if not _installed(package)]
    if not missing:
        return
    if os.geteuid() != 0:
        raise Failed(f"not installed; as root: apt-get install {' '.join(missing)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "-q", env=quiet)
    run("apt-get", "install", "-q", "-y", "--no-install-recommends", *missing, env=quiet)


def _installed(package: str) -> bool:
    try:
        return run("dpkg-query", "--show", "--showformat", "${db:Status-Status}", package) == "installed"
    except Failed:
        return False
