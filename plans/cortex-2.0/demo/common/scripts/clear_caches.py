"""Removes cached files that speak of 2.0 schema objects. `--list` only names them. What 1.0 cached stays."""

import argparse
import json
import sys

from brain import CACHE, ROOT


def stale():
    for path in sorted(CACHE.glob("*.json")):
        try:
            if json.loads(path.read_text(encoding="utf-8")).get("schema") == "2.0":
                yield path
        except (ValueError, AttributeError):
            continue


def main():
    parser = argparse.ArgumentParser(description="Clears caches of the 2.0 schema.")
    parser.add_argument("--list", action="store_true", help="name the files, remove none")
    args = parser.parse_args()
    found = list(stale())
    for path in found:
        print(("would clear " if args.list else "cleared ") + path.relative_to(ROOT).as_posix())
        if not args.list:
            path.unlink()
    if not args.list and CACHE.is_dir() and not any(CACHE.iterdir()):
        CACHE.rmdir()
    print(f"caches: {len(found)} of the 2.0 schema")
    return 0


if __name__ == "__main__":
    sys.exit(main())
