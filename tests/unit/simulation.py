"""The scheduler on virtual time: years of captures, outages, restarts and slow backups in seconds.

Real are: cadences from measured durations, what is due, who gets a worker, the scheduler's own turn, patience and back-off. Faults are
functions of time drawn from a seed, so that for each gap the best that any scheduler on the same cadence could have done is known.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dr.errors import UNAVAILABLE, DrError
from dr.model.ids import SourceId
from dr.model.points import PointSummary
from dr.model.runs import Claim, RunEnd, RunRecord, RunState, Stamp
from dr.model.strategy import FailureDomain, Frequency, Objective, Place, SourceSpec, Strategy
from dr.plan.due import Agenda, DueSlot, Phase, Schedule, SourceState, agenda, source_state
from dr.plan.predict import RECENT
from dr.plan.rows import schedules
from dr.run.following import PAUSES
from dr.run.runner import Captured, CaptureResult
from dr.run.scheduler import Reports, Scheduler

START = datetime(2025, 1, 1, tzinfo=UTC)
DAY = 86_400.0
TICK_S = 15.0
LEASE_S = 15.0
RETRIES_S = 60.0
"""How long a step tries again while its store refuses."""
CLUSTER = SourceId("cluster", "velero", "energent-production")
APPDATA = SourceId("appdata", "firestore", "energent-metadata-production")
CONFIG = SourceId("config", "kubernetes", "energent-production")
AUDIT = SourceId("audit", "pubsub", "energent-security-sink")
BASE_S = {CLUSTER: 300.0, APPDATA: 40.0, CONFIG: 20.0, AUDIT: 60.0}
GRANULARITY_S = {APPDATA: 60.0}
_ROWS = ((CLUSTER, 30, 4, 24 * 60), (APPDATA, 90, 1, 15), (CONFIG, 365, 0.5, 0), (AUDIT, 2555, 24, 0))
STRATEGY = Strategy(
    "simulated",
    tuple(
        Objective(
            source.component,
            Frequency.REAL_TIME,
            timedelta(days=days),
            timedelta(hours=hours),
            timedelta(minutes=minutes),
            (FailureDomain.SOURCE,),
            (SourceSpec(source, Place()),),
        )
        for source, days, hours, minutes in _ROWS
    ),
)


def wall(at: float) -> datetime:
    return START + timedelta(seconds=at)


@dataclass(frozen=True, slots=True)
class Span:
    """From `begins` until before `ends`, in seconds from the start."""

    begins: float
    ends: float


class Spans:
    """Some spans in order, without overlap."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self.all: list[Span] = []
        for span in sorted(spans, key=lambda one: one.begins):
            if self.all and span.begins <= self.all[-1].ends:
                span = Span(self.all[-1].begins, max(self.all.pop().ends, span.ends))
            self.all.append(span)
        self._ends = [span.ends for span in self.all]

    def first(self, begins: float, ends: float) -> Span | None:
        """The first that is not over at `begins` and has begun before `ends`; one without length counts at its instant."""
        index = bisect_right(self._ends, begins)
        found = self.all[index] if index < len(self.all) else None
        return found if found and found.begins < ends else None

    def at(self, instant: float) -> Span | None:
        return self.first(instant, math.nextafter(instant, math.inf))


@dataclass(frozen=True, slots=True)
class Severity:
    """How often things go wrong, in days between two, and for how long, in minutes (from, to)."""

    store: tuple[float, float, float] = (6, 0.5, 240)
    source: tuple[float, float, float] = (3, 1, 60)
    stuck: tuple[float, float, float] = (20, 1, 5)
    slow: tuple[float, float, float] = (9, 30, 360)
    away: tuple[float, float, float] = (12, 1, 90)
    """No replica runs, or the API server does not answer."""
    kills: float = 1.5


class Weather:
    """Every fault of a run, drawn beforehand."""

    def __init__(self, seed: int, days: float, severity: Severity = Severity()) -> None:
        self.seed, self.end = seed, days * DAY
        self._random = random.Random(seed)
        self.store = Spans(self._spans(severity.store))
        self.source = {source: Spans(self._spans(severity.source)) for source in BASE_S}
        self.stuck = {source: Spans(self._spans(severity.stuck)) for source in BASE_S}
        self.slow = Spans(self._spans(severity.slow))
        self.away = Spans(self._spans(severity.away))
        self.kills = [at for at in self._instants(severity.kills) if not self.away.at(at)]
        self.terms = list(self._terms())
        blocked = [*self.store.all, *self.away.all, *(Span(at, at + 1e-3) for at in self.kills)]
        self.blocked = {s: Spans([*blocked, *self.source[s].all, *self.stuck[s].all]) for s in BASE_S}

    def _instants(self, every_days: float) -> list[float]:
        at, found = 0.0, []
        while every_days and (at := at + self._random.expovariate(1 / (every_days * DAY))) < self.end:
            found.append(at)
        return found

    def _spans(self, often: tuple[float, float, float]) -> list[Span]:
        every, shortest, longest = often
        spread = math.log(longest / shortest)
        return [Span(at, at + 60 * shortest * math.exp(self._random.random() * spread)) for at in self._instants(every)]

    def _terms(self) -> Iterable[tuple[Span, bool]]:
        """When somebody leads, and whether each term ends gently."""
        ends = [(at, self._random.random() < 0.5, LEASE_S + 3) for at in self.kills]
        ends += [(span.begins, False, span.ends - span.begins + LEASE_S + 3) for span in self.away.all]
        begins = 0.0
        for at, gentle, pause in sorted(ends):
            if at > begins:
                yield Span(begins, at), gentle
            begins = max(begins, at + (3 if gentle else pause))
        if begins < self.end:
            yield Span(begins, self.end), True

    def duration(self, source: SourceId, at: float) -> float:
        """Of a capture that begins then: what it takes is a matter of the hour, not of who asks."""
        luck = random.Random(f"{self.seed} {source} {int(at // 600)}").random()
        factor = 4.0 if self.slow.at(at) else 1.0
        return BASE_S[source] * (0.7 + 0.6 * luck) * factor

    def soonest(self, source: SourceId, at: float) -> float:
        """When a capture that may begin at `at` or later can be committed by whoever knows all that is to come."""
        while True:
            span = self.blocked[source].first(at, at + self.duration(source, at))
            if span is None:
                return at + self.duration(source, at)
            at = span.ends


@dataclass(slots=True)
class Unit:
    """One slot as the journal has it."""

    due: datetime
    begun: float
    as_of: float
    kept: float = 0.0
    """Share of the work that an earlier epoch of this attempt journalled."""
    claims: list[tuple[float, float]] = field(default_factory=list)
    """(taken, expires) by epoch."""
    ends: dict[int, tuple[float, RunState]] = field(default_factory=dict)

    def record(self, source: SourceId) -> RunRecord:
        unit = f"{source.slug}@{self.due:%Y%m%dT%H%M%SZ}"
        claims = [Claim(unit, e, "", _stamp(taken), wall(until)) for e, (taken, until) in enumerate(self.claims, 1)]
        ends = [RunEnd(unit, epoch, state, _stamp(at), "") for epoch, (at, state) in self.ends.items()]
        return RunRecord(unit, tuple(claims), (), tuple(ends))


def _stamp(at: float) -> Stamp:
    return Stamp(wall(at), at, "boot")


@dataclass(frozen=True, slots=True)
class Gap:
    """Between two points: how old the older was when the newer was committed, and how old it had to be at the least."""

    at: float
    age: float
    least: float
    cadence: float


@dataclass(slots=True)
class Row:
    """What became of one source."""

    points: list[tuple[float, float, float]] = field(default_factory=list)
    """(as of, begun, committed) of the newest."""
    committed: int = 0
    failed: int = 0
    slots: set[datetime] = field(default_factory=set)
    doubles: int = 0
    gaps: list[Gap] = field(default_factory=list)
    units: dict[datetime, Unit] = field(default_factory=dict)
    state: SourceState | None = None
    lag_s: float = 0.0
    """Of the watermark, for sources that are followed."""


@dataclass(order=True, slots=True)
class _Doing:
    ends: float
    number: int
    unit: Unit = field(compare=False)
    due: DueSlot = field(compare=False)
    outcome: str = field(compare=False)
    work: Callable[[], None] = field(compare=False)


class Simulation:
    """`run` gives a row for each source."""

    def __init__(self, weather: Weather, strategy: Strategy = STRATEGY, workers: int = 4) -> None:
        self.weather, self.strategy, self.workers = weather, strategy, workers
        self.rows = {spec.id: Row() for spec in strategy.sources()}
        self.now = 0.0
        self.doing: list[_Doing] = []
        self._count = 0
        self._result: CaptureResult | None = None
        self._plan: tuple[Schedule, ...] = ()
        self._plan_known = False
        self._agenda: Agenda | None = None

    def run(self) -> dict[SourceId, Row]:
        for term, gentle in self.weather.terms:
            self._term(term)
            self._cut(term.ends, gentle)
        self._follow()
        return self.rows

    # --- one leader

    def _term(self, term: Span) -> None:
        self.now = term.begins
        scheduler = Scheduler(
            agenda=self._look,
            capture=lambda _due: self._taken_result(),
            reports=Reports(self._note, lambda _result: None, lambda _error: None),
            every=timedelta(seconds=TICK_S),
            workers=self.workers,
            start=lambda work, _name: self._begin(self._starting, work),
            elapsed=lambda: self.now,
        )
        while self.now < term.ends:
            self._deliver()
            scheduler.step()
            self.now = min(self._next(term.begins), term.ends)

    def _note(self, due: DueSlot) -> None:
        """The scheduler tells what it is about to start."""
        self._starting = due

    def _next(self, origin: float) -> float:
        """The next turn at which anything can be different: an end, or the tick after something becomes due."""
        ends = self.doing[0].ends if self.doing else math.inf
        if self._agenda is None:
            span = self.weather.store.at(self.now)
            at = span.ends if span else self.now
        else:
            busy = {doing.due.slot.source for doing in self.doing}
            others = [s for s in self._agenda.standings if s.slot.source not in busy]
            waiting = any(s.phase is Phase.DUE for s in others)
            instants = [(s.next - START).total_seconds() for s in others]
            at = self.now if waiting else min(instants, default=math.inf)
        if at == math.inf:
            return ends
        tick = origin + math.ceil(max(at - origin, self.now - origin + 0.001) / TICK_S) * TICK_S
        return min(ends, tick) if ends > self.now else tick

    def _look(self) -> Agenda:
        self._agenda = None
        if self.weather.store.at(self.now):
            raise DrError(UNAVAILABLE, "the store refuses")
        plan, now = self._schedules(), wall(self.now)
        states = {schedule.source: self._state(schedule, now) for schedule in plan}
        self._agenda = agenda(plan, states, now)
        return self._agenda

    def _state(self, schedule: Schedule, now: datetime) -> SourceState:
        """As the journal gives it; the same until something is written."""
        row = self.rows[schedule.source]
        if row.state is None:
            oldest = now - schedule.cadence * 3
            row.units = {due: unit for due, unit in row.units.items() if due >= oldest}
            records = [unit.record(schedule.source) for unit in row.units.values()]
            newest = wall(max(as_of for as_of, _, _ in row.points)) if row.points else None
            row.state = source_state(schedule.source, records, newest, now)
        return row.state

    def _schedules(self) -> tuple[Schedule, ...]:
        """The real arithmetic, anew after each commit."""
        if not self._plan_known:
            spent = {s: [timedelta(seconds=done - begun) for _, begun, done in r.points] for s, r in self.rows.items()}
            self._plan, self._plan_known = schedules(self.strategy, spent), True
        return self._plan

    # --- one capture

    def _begin(self, due: DueSlot, work: Callable[[], None]) -> None:
        source, at = due.slot.source, self.now
        row = self.rows[source]
        row.state = None
        unit = row.units.get(due.slot.due)
        failed = unit is not None and unit.ends.get(len(unit.claims), (0, RunState.ABANDONED))[1] is RunState.FAILED
        as_of = at - at % GRANULARITY_S.get(source, 1.0)
        if unit is None:
            unit = row.units[due.slot.due] = Unit(due.slot.due, at, as_of)
        elif failed:
            unit.begun, unit.as_of, unit.kept = at, as_of, 0.0
        ends, outcome = self._foreseen(due, unit, at)
        unit.claims.append((at, ends + due.schedule.lease.total_seconds()))
        self._count += 1
        heapq.heappush(self.doing, _Doing(ends, self._count, unit, due, outcome, work))

    def _foreseen(self, due: DueSlot, unit: Unit, at: float) -> tuple[float, str]:
        """How it ends if nobody stops its process."""
        source = due.slot.source
        ends = at + self.weather.duration(source, at) * (1 - unit.kept)
        if (stuck := self.weather.stuck[source].first(at, ends)) is not None:
            patience = due.schedule.patience(len(unit.claims)).total_seconds()
            return max(at, stuck.begins) + patience, "failed"
        if (span := self.weather.source[source].first(at, ends)) is not None:
            return max(at, span.begins) + 2, "failed"
        if (span := self.weather.store.first(at, ends)) is not None:
            if span.ends - span.begins < RETRIES_S:
                return ends + (span.ends - span.begins), "committed"
            return max(at, span.begins) + RETRIES_S, "unwritten"
        return ends, "committed"

    def _deliver(self) -> None:
        while self.doing and self.doing[0].ends <= self.now:
            self._end(heapq.heappop(self.doing))

    def _end(self, doing: _Doing) -> None:
        source, unit = doing.due.slot.source, doing.unit
        row, epoch = self.rows[source], len(unit.claims)
        row.state = None
        if doing.outcome == "committed":
            unit.ends[epoch] = (doing.ends, RunState.COMMITTED)
            self._commit(row, doing)
        else:
            row.failed += 1
            if doing.outcome == "failed" and not self.weather.store.at(doing.ends):
                unit.ends[epoch] = (doing.ends, RunState.FAILED)
            else:  # its end could not be journalled: the claim runs out
                lease = doing.due.schedule.lease.total_seconds()
                unit.claims[-1] = (unit.claims[-1][0], doing.ends - RETRIES_S + lease)
        point = _summary(doing) if doing.outcome == "committed" else None
        captured = Captured.COMMITTED if point else Captured.FAILED
        self._result = CaptureResult(doing.due.slot, captured, point)
        doing.work()

    def _taken_result(self) -> CaptureResult:
        assert self._result is not None
        return self._result

    def _commit(self, row: Row, doing: _Doing) -> None:
        unit, cadence = doing.unit, doing.due.schedule.cadence.total_seconds()
        source = doing.due.slot.source
        row.doubles += unit.due in row.slots
        row.slots.add(unit.due)
        row.committed += 1
        if row.points and unit.as_of > row.points[-1][0]:
            as_of, begun, ended = row.points[-1]
            # captures of one source do not overlap
            due = max((begun // cadence + 1) * cadence, ended)
            # nobody looks without pause: what was possible only within a tick was not
            least = max(self.weather.soonest(source, due + late) for late in (0.0, TICK_S))
            row.gaps.append(Gap(doing.ends, doing.ends - as_of, least - as_of, cadence))
        row.points = [*row.points[-RECENT:], (unit.as_of, unit.begun, doing.ends)]
        self._plan_known = False

    def _cut(self, at: float, gentle: bool) -> None:
        """The leader is gone: what ran is parked after its step, or silent from now on."""
        for doing in self.doing:
            self.rows[doing.due.slot.source].state = None
            unit, taken = doing.unit, doing.unit.claims[-1][0]
            whole = max(doing.ends - taken, 1e-9)
            # half of what was done lies in steps that were journalled
            unit.kept += (1 - unit.kept) * min(1.0, (at - taken) / whole) / 2
            unit.claims[-1] = (taken, at + doing.due.schedule.lease.total_seconds())
            if gentle:
                unit.ends[len(unit.claims)] = (at, RunState.ABANDONED)
        self.doing = []

    # --- followers

    def _follow(self) -> None:
        """How far behind the watermark of a followed source ever was: begun with each term, begun again after failures."""
        for source in (CONFIG, AUDIT):
            durable, stops = 0.0, Spans([*self.weather.store.all, *self.weather.source[source].all])
            for term, _ in self.weather.terms:
                at, failures = term.begins + 1, 0
                while at < term.ends:
                    span = stops.first(at, term.ends)
                    if span is None or span.begins > at:
                        self.rows[source].lag_s = max(self.rows[source].lag_s, at - durable)
                        durable, failures = min(span.begins if span else term.ends, term.ends), 0
                        at = durable
                    failures += 1
                    at += PAUSES.pause(failures)


def _summary(doing: _Doing) -> PointSummary:
    slot, unit = doing.due.slot, doing.unit
    moments = (wall(unit.as_of), wall(unit.begun), wall(doing.ends))
    return PointSummary(slot, "simulated", *moments, 1, (FailureDomain.SOURCE,), wall(doing.ends), slot.id, 1, "")
