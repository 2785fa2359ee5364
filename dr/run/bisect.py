"""The search for the last clean recovery point: one contained copy after the other, by the code of every restore.

The search is a unit of the journal like any other: each guess is a step whose outcome is its evidence, its teardown is the next step.
So a search that was killed goes on where it was: with the copy that it was making, or the one that it had not yet removed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from dr.errors import OVER_BUDGET, REJECTED, DrError
from dr.model.bisecting import Answer, Bisection, BisectOrder, Guess
from dr.model.plans import PlannedRestore, RestorePlan, Target
from dr.model.points import Check
from dr.model.runs import RunState
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant
from dr.plan.bisecting import Answers, Conclusion, contradictions, most_guesses, next_guess
from dr.ports import Clock, Json, ObjectStore, Step, StepContext
from dr.record import bisected
from dr.record.codec import decode, encode
from dr.record.hold import Hold
from dr.run.drill import torn_down
from dr.run.drillplan import prefix_of
from dr.run.engine import Engine, Parked
from dr.run.measured import decode_checks, encode_checks
from dr.run.planning import Planner, Want
from dr.run.reaper import REAPED
from dr.run.restore import ItemResult, Restored, RestoreRunner
from dr.run.runner import ending

BASE = "bisects"
CLEAN_CODE, BAD_CODE, SKIP_CODE = 0, 1, 125
TAIL = 2000
"""Characters of the check's output that are kept."""


@dataclass(frozen=True, slots=True)
class CheckRun:
    """What came of the check command. `code` None: it did not end in time."""

    code: int | None
    output: str
    why: str = ""


Asks = Callable[[BisectOrder, int, Sequence[PlannedRestore]], CheckRun]
"""Runs the check against the restored copies of one guess."""


@dataclass(frozen=True, slots=True)
class BisectRunner:
    """`restores` applies plans over the journal of bisects; `engine` does not try again what `restores` gave up."""

    planner: Planner
    restores: RestoreRunner
    engine: Engine
    control: ObjectStore
    clock: Clock
    ask: Asks
    standing: dict[int, tuple[ItemResult, ...]] = field(default_factory=dict)
    """Copies that this process made and has not removed, by the number of the guess."""

    def run(self, order: BisectOrder, specs: Sequence[SourceSpec]) -> Bisection:
        """Begin, or go on. Raises DrError LOCKED while another process searches, REJECTED when the check itself does not work,
        OVER_BUDGET, and what a restore cannot recover from; Parked when it was asked to stop."""
        name = f"{BASE}/{order.id}/report.json"
        if self.control.stat(name) is not None:
            return decode(self.control.get(name), Bisection, f"{self.control.url}/{name}")
        self.control.put(f"{BASE}/{order.id}/order.json", encode(order))
        hold = self.restores.journal.claim(order.id)
        with self.engine.renewing(hold), ending(hold):
            report = self._report(order, hold, self._search(order, specs, hold))
            self.control.put(name, encode(report))
            hold.end(RunState.COMMITTED, f"{report.finding}: {len(report.guesses)} restores")
        return report

    def _search(self, order: BisectOrder, specs: Sequence[SourceSpec], hold: Hold) -> Conclusion:
        while True:
            guesses = guesses_of(hold)
            for guess in guesses:
                self._step(
                    hold, 2 * guess.number, f"teardown-{guess.number:03d}", partial(self._teardown, order, guess)
                )
            found = next_guess(len(order.candidates), answers_of(order, guesses), order.confirm)
            if isinstance(found, Conclusion):
                return found
            number = len(guesses) + 1
            doing = partial(self._guess, order, specs, found, number, guesses)
            self._step(hold, 2 * number - 1, f"guess-{number:03d}", doing)
            self._refuse_broken(order, number, hold)

    def _step(self, hold: Hold, index: int, name: str, run: Callable[[StepContext], Json]) -> None:
        self.engine.run(hold, [Step(name, run)], first=index, stop=self.restores.stop)

    def _refuse_broken(self, order: BisectOrder, number: int, hold: Hold) -> None:
        """After its copy was removed: a check that does not work says nothing of any point."""
        guess = guesses_of(hold)[-1]
        if guess.answer is not Answer.BROKEN or guess.exit_code is None:
            return
        self._step(hold, 2 * number, f"teardown-{number:03d}", partial(self._teardown, order, guess))
        raise DrError(
            REJECTED,
            f"the check ended with exit code {guess.exit_code}: 0 is clean, 1 bad, 125 cannot tell, anything else no answer",
            hint=f"it said: {guess.tail[-200:].strip() or 'nothing'}",
        )

    # --- one guess

    def _guess(
        self,
        order: BisectOrder,
        specs: Sequence[SourceSpec],
        candidate: int,
        number: int,
        before: Sequence[Guess],
        _context: StepContext,
    ) -> Json:
        plan = self._plan(order, specs, candidate, number)
        unfit = self._unfit(order, plan, candidate)
        blank = _blank(order, plan, candidate, number)
        if self.control.stat(f"{BASE}/{plan.id}/{REAPED}") is not None:
            # its journal says that all is restored, and nothing of it is there any more
            return written(replace(blank, answer=Answer.BROKEN, why="the copy was reaped before it was checked"))
        if unfit:
            return written(replace(blank, why=unfit))
        refuse_cost(order, plan, before)
        results, took = self._restored(plan, number)
        failed = [result.error for result in results if result.error]
        if any(error.temporary for error in failed):
            raise next(error for error in failed if error.temporary)
        if failed:
            return written(replace(blank, restore_s=took, why=f"not restored: {failed[0].message}"))
        return written(self._checked(order, number, plan, replace(blank, restore_s=took)))

    def _checked(self, order: BisectOrder, number: int, plan: RestorePlan, blank: Guess) -> Guess:
        began = self.clock.stamp()
        run = self.ask(order, number, plan.items)
        return replace(
            blank,
            answer=answer_of(run.code),
            exit_code=run.code,
            sha256=hashlib.sha256(run.output.encode()).hexdigest(),
            tail=run.output[-TAIL:],
            check_s=self.clock.stamp().seconds_since(began),
            why=run.why,
        )

    def _plan(self, order: BisectOrder, specs: Sequence[SourceSpec], candidate: int, number: int) -> RestorePlan:
        """As it was begun before a kill, else made now."""
        plan_id = guess_id(order, number)
        name = f"{BASE}/{plan_id}/plan.json"
        if self.control.stat(name) is not None:
            return decode(self.control.get(name), RestorePlan, f"{self.control.url}/{name}")
        target = Target(isolated=True, prefix=prefix_of(plan_id, order.domain))
        wants = [Want(spec, order.domain, target) for spec in specs]
        return self.planner.plan(plan_id, order.candidates[candidate], wants, self.clock.now())

    def _unfit(self, order: BisectOrder, plan: RestorePlan, candidate: int) -> str:
        """Why the copy would not be of the candidate; empty when it is."""
        if plan.gaps:
            return f"{plan.gaps[0].source} cannot be restored: {plan.gaps[0].reason}"
        newest, wanted = max(item.instant for item in plan.items), order.candidates[candidate]
        return "" if newest == wanted else f"the point is gone; the nearest is of {format_instant(newest)}"

    def _restored(self, plan: RestorePlan, number: int) -> tuple[tuple[ItemResult, ...], float]:
        result = self.restores.apply(plan, self.planner.items(plan))
        self.standing[number] = result.items
        if any(item.restored is Restored.PARKED for item in result.items):
            raise Parked(f"stopped in {plan.id}")
        return result.items, result.ended.seconds_since(result.started)

    def _teardown(self, order: BisectOrder, guess: Guess, _context: StepContext) -> Json:
        """Of a copy that another process made, its journal says what it is."""
        name = f"{BASE}/{guess_id(order, guess.number)}/plan.json"
        if guess.number not in self.standing and self.control.stat(name) is not None:
            self._restored(decode(self.control.get(name), RestorePlan, f"{self.control.url}/{name}"), guess.number)
        results = self.standing.get(guess.number, ())
        checks = tuple(check for result in results for check in torn_down(result))
        self.standing.pop(guess.number, None)
        return {"checks": encode_checks(checks)}

    # --- the end

    def _report(self, order: BisectOrder, hold: Hold, found: Conclusion) -> Bisection:
        guesses = guesses_of(hold)
        answers = answers_of(order, guesses)
        low, high = found.last_clean, found.first_bad
        between = range(low + 1, high) if low is not None and high is not None else range(0)
        return Bisection(
            order=order,
            finding=found.finding,
            last_clean=None if low is None else order.candidates[low],
            first_bad=None if high is None else order.candidates[high],
            guesses=guesses,
            contradictions=tuple(contradictions(answers, lambda number: format_instant(order.candidates[number]))),
            untold=len(between),
            teardown=tuple(_teardowns(hold)),
            ended=self.clock.now(),
        )


def guess_id(order: BisectOrder, number: int) -> str:
    """Of the guess's plan, and of all that it creates."""
    return f"{order.id}-{number:03d}"


def answer_of(code: int | None) -> Answer:
    """Of an exit code; None: it did not end in time."""
    told = {CLEAN_CODE: Answer.CLEAN, BAD_CODE: Answer.BAD, SKIP_CODE: Answer.UNKNOWN, None: Answer.UNKNOWN}
    return told.get(code, Answer.BROKEN)


def refuse_cost(order: BisectOrder, plan: RestorePlan, before: Sequence[Guess]) -> None:
    """Before the first copy the whole search is estimated, later what is spent and the next. Raises DrError OVER_BUDGET."""
    if order.max_cost_usd is None:
        return
    most = most_guesses(len(order.candidates), order.confirm)
    estimate = plan.cost_usd * most if not before else sum(guess.cost_usd for guess in before) + plan.cost_usd
    if estimate > order.max_cost_usd:
        text = f"this search is estimated at {estimate:.2f} $, above --max-cost {order.max_cost_usd:.2f} $"
        raise DrError(OVER_BUDGET, text, hint=f"a copy costs {plan.cost_usd:.2f} $, and at most {most} are needed")


def _blank(order: BisectOrder, plan: RestorePlan, candidate: int, number: int) -> Guess:
    return Guess(
        number=number,
        candidate=order.candidates[candidate],
        restored=tuple(item.instant for item in plan.items),
        points=tuple(item.point.name if item.point else item.method for item in plan.items),
        answer=Answer.UNKNOWN,
        exit_code=None,
        sha256="",
        tail="",
        restore_s=0.0,
        check_s=0.0,
        cost_usd=plan.cost_usd,
    )


def written(guess: Guess) -> Json:
    """For the journal."""
    body: Mapping[str, object] = bisected.guess.write(guess)
    return body


def guesses_of(hold: Hold) -> tuple[Guess, ...]:
    """Those that were answered, in their order."""
    found = (
        bisected.guess.read(outcome.data, name) for name, outcome in hold.outcomes.items() if name.startswith("guess-")
    )
    return tuple(sorted(found, key=lambda guess: guess.number))


def answers_of(order: BisectOrder, guesses: Sequence[Guess]) -> Answers:
    """By candidate; a check that did not work is no answer."""
    numbers = {instant: number for number, instant in enumerate(order.candidates)}
    return {numbers[guess.candidate]: guess.answer for guess in guesses if guess.answer is not Answer.BROKEN}


def _teardowns(hold: Hold) -> Iterator[Check]:
    for name in sorted(hold.outcomes):
        if name.startswith("teardown-"):
            yield from decode_checks(hold.outcomes[name].data["checks"])
