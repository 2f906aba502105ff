"""Tells people and programs that writes are paused: one notice in the brain's folder, shown as a banner by its programs.

    --freeze  put the notice up
    --thaw    take it down

Both may be said twice. The notice asks; it keeps nobody out.
"""

import argparse
import sys

from brain import ROOT

NOTICE = ROOT / "cortex-brain" / "NOTICE.txt"
TEXT = "This brain is being migrated to CORTEX 2.0. Reads go on; please write nothing until this notice is gone.\n"


def main():
    parser = argparse.ArgumentParser(description="Puts the notice of a migration up or takes it down.")
    modes = parser.add_mutually_exclusive_group(required=True)
    modes.add_argument("--freeze", action="store_true", help="put the notice up")
    modes.add_argument("--thaw", action="store_true", help="take it down")
    if parser.parse_args().freeze:
        NOTICE.write_text(TEXT, encoding="utf-8")
    else:
        NOTICE.unlink(missing_ok=True)
    print("notice: " + ("up" if NOTICE.exists() else "down"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
