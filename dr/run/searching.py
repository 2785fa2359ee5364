"""The newest clean point, by restoring: copy after copy, each checked and taken away again before the next is made.

Asked for by a scenario with `points: clean`: the newest points hold what must not be restored, and only a copy shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dr.model.evidence import Tried
from dr.model.points import Check
from dr.plan.search import found, next_try
from dr.run.drillplan import Asked, NotPlanned
from dr.run.measured import CHECK_STEP, VERIFY_STEP, decode_checks
from dr.run.restore import ItemResult

Round = Callable[[int, Sequence[Asked]], tuple[Sequence[ItemResult], Sequence[NotPlanned]]]
"""(number of the round, what it restores) -> what became of it; the copies are gone when it returns."""


@dataclass
class Search:
    """One source of one row."""

    asked: Asked
    candidates: Sequence[datetime]
    """From the newest."""
    tried: dict[int, bool] = field(default_factory=dict)
    results: dict[int, ItemResult] = field(default_factory=dict)
    log: list[Tried] = field(default_factory=list)

    @property
    def next(self) -> int | None:
        return next_try(len(self.candidates), self.tried)

    def take(self, index: int, result: ItemResult | None, why: str) -> None:
        """What became of the copy of candidate `index`; `why` empty: it is clean."""
        self.tried[index] = not why
        point = result.item.planned.point if result else None
        if result:
            self.results[index] = result
        self.log.append(
            Tried(
                self.candidates[index], point.name if point else "", point.sha256 if point else "", not why, why[:1000]
            )
        )

    @property
    def answer(self) -> ItemResult | None:
        """The newest clean copy; when none is, the newest that was tried, which says why."""
        best = found(self.tried)
        return self.results.get(best if best is not None else min(self.results, default=-1))


def searched(asked: Sequence[tuple[Asked, Sequence[datetime]]], go: Round) -> list[Search]:
    """Rounds until every search has its answer; searches go on side by side. `asked`: with the instants of their points."""
    searches = [Search(one, candidates) for one, candidates in asked]
    number = 1
    while pending := [(search, index) for search in searches if (index := search.next) is not None]:
        wanted = [Asked(search.asked.key, search.asked.spec, search.candidates[index]) for search, index in pending]
        results, unplanned = go(number, wanted)
        for search, index in pending:
            search.take(index, *_of(search.asked, results, unplanned))
        number += 1
    return searches


def _of(one: Asked, results: Sequence[ItemResult], unplanned: Sequence[NotPlanned]) -> tuple[ItemResult | None, str]:
    for result in results:
        if (result.item.planned.source, result.item.planned.domain) == (one.spec.id, one.key.domain):
            return result, bad(result)
    reasons = [entry.reason for entry in unplanned if (entry.key, entry.source) == (one.key, str(one.spec.id))]
    return None, "; ".join(reasons) or "it was not planned"


def bad(result: ItemResult) -> str:
    """Why a copy is not to be used; empty: every check passed."""
    if result.error:
        return result.error.message
    checks: list[Check] = []
    for step in (VERIFY_STEP, CHECK_STEP):
        if step in result.outcomes:
            checks += decode_checks(result.outcomes[step]["checks"])
    if CHECK_STEP not in result.outcomes:
        return "it was not checked"
    return "; ".join(f"{check.name}: {check.detail}" for check in checks if not check.passed)
