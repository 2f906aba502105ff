"""The tables, in Markdown. Computes ratios, measures nothing."""

from harness.large import Large
from harness.peers import VERBS, Entry
from harness.stopwatch import Summary


def comparison(entries: list[Entry], count: int) -> str:
    """One line a tool, medians with range, each as a multiple of ours and of the fastest peer's."""
    ours = _best([entry for entry in entries if entry.tool.ours])
    peer = _best([entry for entry in entries if not entry.tool.ours])
    head = ["tool", "version", "beside running the SQL"]
    for verb in VERBS:
        title = f"apply {count}" if verb == "apply" else verb
        head += [f"{title}, s", "× ours", "× fastest peer"]
    head += ["apply CPU, s", "peak RSS, MB"]
    rows = [_row(entry, ours, peer, len(head)) for entry in entries]
    return _table(head, rows)


def large(lines: list[Large]) -> str:
    """One line a measurement."""
    rows = []
    for line in lines:
        if line.summary is None:
            rows.append([line.what, f"failed: {line.failure}", "", ""])
        else:
            rows.append([line.what, _seconds(line.summary), f"{line.summary.cpu:.3f}", _megabytes(line.summary.rss)])
    return _table(["cutover", "s", "CPU, s", "peak RSS, MB"], rows)


def _best(entries: list[Entry]) -> dict[str, float]:
    """For each verb the least median of these; no entry for a verb that none managed."""
    best: dict[str, float] = {}
    for verb in VERBS:
        medians = [summary.median for entry in entries if (summary := entry.summary(verb))]
        if medians:
            best[verb] = min(medians)
    return best


def _row(entry: Entry, ours: dict[str, float], peer: dict[str, float], width: int) -> list[str]:
    row = [entry.tool.name, entry.version, entry.tool.safety]
    if entry.failure:
        row.append(f"failed: {entry.failure}")
        return row + [""] * (width - len(row))
    for verb in VERBS:
        summary = entry.summary(verb)
        row += [_seconds(summary), _ratio(summary, ours.get(verb)), _ratio(summary, peer.get(verb))]
    applied = entry.summary("apply")
    return row + [f"{applied.cpu:.2f}", _megabytes(max(entry.summary(verb).rss for verb in VERBS))]


def _seconds(summary: Summary) -> str:
    return f"{summary.median:.3f} ({summary.least:.3f}–{summary.most:.3f})"


def _ratio(summary: Summary, reference: float | None) -> str:
    return f"{summary.median / reference:.2f}" if reference else "–"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
