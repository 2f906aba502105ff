"""Says on standard error what is going on; standard output is for the table."""

import sys


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
