"""Decides which paths a tool may write. `--self-test` proves that what is forbidden is still denied.

Exit code: 0 allowed (or the self-test passed), 1 denied (or it failed).
"""

import argparse
import posixpath
import sys

from brain import config

ALWAYS = ["cortex-brain/tier0", "cortex-brain/tier1", "cortex-brain/tier2", "cortex-brain/tier3", ".git"]


def protected():
    """The protected paths: of the 1.0 section, of where 2.0 keeps it, and those that need no configuration."""
    settings = config()
    governance = settings.get("governance") or settings.get("legacy", {}).get("governance", {})
    return sorted({*ALWAYS, *governance.get("protectedPaths", []), "cortex.config.json"})


def verdict(path):
    """Why the path is denied, or None. Blind to case, to backslashes and to detours through `..`."""
    plain = posixpath.normpath(path.replace("\\", "/")).lower()
    if plain.startswith(("/", "..")) or plain[1:2] == ":":
        return "outside the installation"
    for entry in protected():
        if plain == entry.lower() or plain.startswith(entry.lower() + "/"):
            return f"protected by {entry}"
    return None


DENIED = [
    "cortex-brain/tier0/rules.yaml",
    "cortex-brain/tier1/conversations.db",
    "cortex-brain/tier2/knowledge_graph.db",
    "cortex-brain\\tier3\\context.db",
    "docs/../cortex-brain/tier0/rules.yaml",
    "Cortex-Brain/TIER1/conversations.db",
    "cortex.config.json",
    ".git/config",
    "../elsewhere.txt",
    "/etc/passwd",
    "D:\\PROJECTS\\other.txt",
]
ALLOWED = ["docs/guide.md", "src/report/order.py", "cortex-brain/tier10/notes.md", "docs/cortex.config.json.md"]


def wrong():
    """Forbidden paths that are allowed, and free ones that are denied, in words."""
    found = [f"allowed, but forbidden: {p}" for p in DENIED if verdict(p) is None]
    return found + [f"denied ({verdict(p)}), but free: {p}" for p in ALLOWED if verdict(p)]


def self_test():
    found = wrong()
    for line in found:
        print(line, file=sys.stderr)
    print(f"boundary guard: {len(DENIED)} forbidden and {len(ALLOWED)} free paths tried, {len(found)} wrong")
    return 1 if found else 0


def main():
    parser = argparse.ArgumentParser(description="Says whether a tool may write a path.")
    parser.add_argument("--self-test", action="store_true", help="try paths that must be denied and paths that must not")
    parser.add_argument("path", nargs="?", help="the path to decide on")
    args = parser.parse_args()
    if args.self_test:
        return self_test()
    if args.path is None:
        parser.error("a path is needed")
    why = verdict(args.path)
    print(f"denied: {why}" if why else "allowed")
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
