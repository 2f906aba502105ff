"""Runs the hooks of the brain's plugins. Each run is a row of plugin_hook_executions while hooks are logged
(`plugins.config.hook_logging.enabled`).

    --exercise           run every hook of every enabled plugin once
    --withdraw           take the rows of that away again; rows of other runs stay
    --live SECONDS       run hooks all the time, and the self-review when it is scheduled
    --failing PERCENT    with --live: so many of them fail

Exit code 1: hooks are exercised while nothing logs them.
"""

import argparse
import json
import sys
import time

import brain
import self_review
from brain import feature, has, reader, tables, writer

# What marks the rows of `--exercise`.
CONTEXT = json.dumps({"by": "migration"})


def enabled():
    """The hooks of the enabled plugins, as (plugin, hook)."""
    with reader("tier2") as db:
        if "plugins" not in tables(db):
            return []
        found = db.execute("SELECT plugin_id, hooks FROM plugins WHERE enabled = 1 ORDER BY priority, plugin_id")
        return [(plugin, hook) for plugin, hooks in found.fetchall() for hook in json.loads(hooks or "[]")]


def work(hook):
    """What a hook does here: it looks at what it would work on, and writes nothing."""
    with reader("tier1") as tier1, reader("tier2") as tier2:
        if hook in ("on_change", "on_create", "on_import") and has(tier1, "conversations", "conversation_id"):
            return tier1.execute("SELECT count(*) FROM conversations").fetchone()[0]
        if hook in ("on_query", "on_hook", "on_command") and has(tier2, "patterns", "title"):
            return tier2.execute("SELECT count(*) FROM patterns WHERE title LIKE '%retry%'").fetchone()[0]
        return len(tables(tier1))


def run(plugin, hook, context=None, fails=False):
    """Runs one hook, and logs it if that is switched on. Whether it succeeded."""
    began = time.perf_counter()
    error = result = None
    try:
        if fails:
            raise RuntimeError("the hook was made to fail")
        result = work(hook)
    except Exception as failure:  # a hook may fail in any way, and the next one runs
        error = str(failure)
    took = (time.perf_counter() - began) * 1000
    if feature("plugins.config.hook_logging.enabled"):
        with writer("tier2") as db:
            db.execute(
                "INSERT INTO plugin_hook_executions"
                " (plugin_id, hook, completed_at, duration_ms, status, error_message, context_json, result_json)"
                " VALUES (?, ?, CURRENT_TIMESTAMP, ?, ?, ?, ?, ?)",
                (plugin, hook, round(took, 3), "failed" if error else "success", error, context, json.dumps(result)),
            )
    return error is None


def exercise():
    if not feature("plugins.config.hook_logging.enabled"):
        print("hooks: nothing logs them, `plugins.config.hook_logging.enabled` is off", file=sys.stderr)
        return 1
    withdraw()
    results = [run(plugin, hook, CONTEXT) for plugin, hook in enabled()]
    print(f"hooks: {len(results)} run, {results.count(False)} failed")
    return 0


def withdraw():
    with writer("tier2") as db:
        if "plugin_hook_executions" in tables(db):
            brain.withdraw(db, "plugin_hook_executions", "context_json = ?", (CONTEXT,))
    return 0


def live(seconds, failing):
    until = time.monotonic() + seconds
    rounds = runs = 0
    failed = 0.0
    while time.monotonic() < until:
        for plugin, hook in enabled():
            failed += failing / 100
            fails = failed >= 1
            failed -= fails
            run(plugin, hook, fails=fails)
            runs += 1
        if rounds % 10 == 0:
            self_review.daily()
        rounds += 1
        time.sleep(0.05)
    print(f"hooks: {runs} run")
    return 0


def main():
    parser = argparse.ArgumentParser(description="Runs the hooks of the plugins.")
    modes = parser.add_mutually_exclusive_group(required=True)
    modes.add_argument("--exercise", action="store_true", help="run every hook once")
    modes.add_argument("--withdraw", action="store_true", help="take the rows of --exercise away")
    modes.add_argument("--live", type=float, metavar="SECONDS", help="run hooks all the time")
    parser.add_argument("--failing", type=float, default=0, metavar="PERCENT", help="with --live: so many fail")
    args = parser.parse_args()
    if args.live is not None:
        return live(args.live, args.failing)
    return exercise() if args.exercise else withdraw()


if __name__ == "__main__":
    sys.exit(main())
