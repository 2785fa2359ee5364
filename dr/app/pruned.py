"""What prunes came to, for people and for JSON: every point with its reasons, the rest by what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from dr.app.pruning import Pruned
from dr.model.retention import Remains, Tombstone
from dr.model.timeline import format_instant
from dr.plan.leftovers import Fate
from dr.report import words
from dr.report.envelope import Item
from dr.report.sheet import Cell, Sheet, Tone, cell, columns_of
from dr.run.prune import PruneResult

_TONES = {"kept": Tone.PLAIN, "condemned": Tone.WARN, "deleted": Tone.BAD, "spared": Tone.GOOD}


def prune_items(pruned: Pruned) -> list[Item]:
    """One for each point; segments of a log by runs of the same fate."""
    result = pruned.result
    if result is None:
        return []
    due = _due((*result.standing, *result.condemned))
    return [*_points(result, due), *_others(result, due)]


def _points(result: PruneResult, due: Mapping[str, str]) -> Iterator[Item]:
    for decision in result.decided.points:
        summary = result.inventory.summaries.get(decision.name)
        yield {
            "component": result.component,
            "what": str(Remains.POINT),
            "name": decision.name,
            "source": str(summary.source) if summary else None,
            "as_of": format_instant(summary.as_of) if summary else None,
            "size_bytes": summary.size if summary else None,
            **_fate(result, decision.name, decision.keep, due, [str(reason) for reason in decision.reasons]),
        }


def _others(result: PruneResult, due: Mapping[str, str]) -> Iterator[Item]:
    fates = [
        (what, fate, _fate(result, fate.name, fate.keep, due, [fate.reason])) for what, fate in result.decided.others
    ]
    for key, group in groupby(fates, key=lambda one: (one[0], one[2]["fate"], one[2]["due"])):
        alike = list(group)
        runs = [alike] if key[0] is Remains.SEGMENTS else [[one] for one in alike]
        for run in runs:
            yield {
                "component": result.component,
                "what": str(key[0]),
                "name": _span([fate for _, fate, _ in run]),
                "count": len(run),
                **run[0][2],
            }


def _span(run: Sequence[Fate]) -> str:
    return run[0].name if len(run) == 1 else f"{run[0].name} .. {run[-1].name.rpartition('/')[2]}"


def _fate(
    result: PruneResult, name: str, keep: bool, due: Mapping[str, str], reasons: list[str]
) -> Mapping[str, object]:
    if name in result.deleted or name in result.gone:
        return {"fate": "deleted", "due": None, "reasons": reasons}
    if name in result.spared:
        return {"fate": "spared", "due": None, "reasons": [result.spared[name], *(reasons if keep else [])]}
    # a point that something speaks for by now is kept, whatever a tombstone says
    if keep:
        return {"fate": "kept", "due": None, "reasons": reasons}
    return {"fate": "condemned", "due": due.get(name), "reasons": reasons}


def _due(tombstones: Sequence[Tombstone]) -> dict[str, str]:
    """Name of each object that is condemned -> when it may be deleted."""
    found: dict[str, str] = {}
    for stone in tombstones:
        for target in stone.targets:
            for name in (target.name, *(entry.name for entry in target.objects)):
                found.setdefault(name, format_instant(stone.due))
    return found


def prune_notes(pruned: Pruned, *, dry_run: bool) -> Iterator[str]:
    """A sum, then what could not be done."""
    result = pruned.result
    if result is None:
        return
    fates = [str(item["fate"]) for item in prune_items(pruned) if item["what"] == Remains.POINT]
    counts = ", ".join(f"{fates.count(fate)} {fate}" for fate in _TONES if fates.count(fate))
    yield f"{result.component}: {counts} of {len(fates)} points" + (
        " (dry run: nothing was changed)" if dry_run else ""
    )
    yield from (f"would be refused: {refusal.message}" for refusal in result.refusals)
    yield from (f"not done: {sentence}" for sentence in result.unsettled)


def prune_sheet(items: Sequence[Item], notes: Sequence[str]) -> Sheet:
    """One line a thing."""
    columns = columns_of("component", "what", "name", "fate", "deleted after", "reasons")
    return Sheet(columns, tuple(map(_row, items)), tuple(notes), empty="nothing to decide")


def _row(item: Item) -> tuple[Cell, ...]:
    reasons, fate = item["reasons"], str(item["fate"])
    assert isinstance(reasons, list)
    return (
        cell(item["component"]),
        cell(item["what"]),
        cell(item["name"]),
        cell(fate, _TONES[fate]),
        cell(item["due"] or words.NOTHING),
        cell("; ".join(reasons)),
    )
