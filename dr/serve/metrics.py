"""Metrics for Prometheus: what happened is counted when it happens, where things stand is computed when it is asked."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from dr import __version__
from dr.model.ids import SourceId
from dr.model.strategy import SourceSpec, Strategy
from dr.plan.modes import MODES
from dr.plan.overview import Overview
from dr.plan.status import Standing, StatusRow
from dr.ports import Notice

CAPTURE_S = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)
LAG_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
RESULTS = ("committed", "already", "failed", "locked", "parked")
GOOD = ("committed", "already")
"""The slot has its point."""
_SOURCE = ("component", "source")
_ROW = ("component", "source", "domain")
_SCENARIO = ("scenario",)


@dataclass(slots=True)
class Watch:
    """What is known now; replaced from outside, read at each scrape."""

    strategy: Strategy
    now: Callable[[], datetime]
    overview: Overview | None = None
    skew_s: Mapping[str, float] = field(default_factory=dict)
    """Our clock minus the store's, by place."""


class Metrics:
    """All series of one process, in a registry of their own. `text()` is what /metrics answers."""

    def __init__(self, watch: Watch, scope: str) -> None:
        # a second series for each counter that nobody asks for
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._count_captures()
        self._count_log()
        self._count_watching()
        build = Gauge("dr_build_info", "Always 1.", ("version", "python", "scope"), registry=self.registry)
        build.labels(__version__, platform.python_version(), scope).set(1)
        self.registry.register(Standings(watch))

    def _count_captures(self) -> None:
        registry = self.registry
        self.captures = Counter("dr_captures", "Captures that ended.", (*_SOURCE, "result"), registry=registry)
        self.capture_s = Histogram(
            "dr_capture_duration_seconds", "Start to commit.", _SOURCE, buckets=CAPTURE_S, registry=registry
        )
        self.failures = Gauge(
            "dr_capture_failures_in_a_row", "Failed captures since the last good one.", _SOURCE, registry=registry
        )

    def _count_log(self) -> None:
        registry = self.registry
        self.entries = Counter("dr_log_entries", "Entries that became durable.", _SOURCE, registry=registry)
        self.lag = Histogram(
            "dr_log_lag_seconds", "Change to durable, the slowest of each commit.", _SOURCE, buckets=LAG_S,
            registry=registry,
        )  # fmt: skip
        self.log_events = Counter(
            "dr_log_events", "What else followers told: relisted, reconnected...", (*_SOURCE, "kind"), registry=registry
        )
        self.quarantined = Counter(
            "dr_quarantined", "Entries that could not be read and are kept aside.", _SOURCE, registry=registry
        )

    def _count_watching(self) -> None:
        registry = self.registry
        self.sent = Counter("dr_notifications", "Messages that were delivered.", ("channel",), registry=registry)
        self.unsent = Counter(
            "dr_notifications_failed", "Attempts to tell that failed after retries.", ("channel",), registry=registry
        )
        self.pings = Counter("dr_deadman_pings", "Signals of life.", ("result",), registry=registry)
        self.pinged = Gauge(
            "dr_deadman_last_ping_timestamp_seconds", "Of the last that got through.", registry=registry
        )
        self.leader = Gauge("dr_leader", "1 while this replica does the work.", registry=registry)
        self.trouble = Counter(
            "dr_service_errors", "Errors between captures: deciding, following.", ("code",), registry=registry
        )
        self.looked = Gauge(
            "dr_schedule_last_look_timestamp_seconds", "When it was last decided what is due.", registry=registry
        )
        self.refreshes = Counter("dr_refreshes", "Looks at the stores.", ("result",), registry=registry)

    def know(self, specs: Iterable[SourceSpec]) -> None:
        """Series of all sources exist from the start, at 0: what appears with its first event has no rate."""
        for spec in specs:
            labels = (spec.id.component, str(spec.id))
            for result in RESULTS:
                self.captures.labels(*labels, result)
            self.capture_s.labels(*labels)
            self.failures.labels(*labels)
            if spec.id.kind in MODES and MODES[spec.id.kind].log:
                for metric in (self.entries, self.lag, self.quarantined):
                    metric.labels(*labels)

    def know_channels(self, channels: Iterable[str]) -> None:
        """As `know`, of those who are told."""
        for channel in channels:
            self.sent.labels(channel)
            self.unsent.labels(channel)

    def captured(self, source: SourceId, result: str, seconds: float) -> None:
        """A capture ended, as `ports.Observer` says it."""
        labels = (source.component, str(source))
        self.captures.labels(*labels, result).inc()
        if result == "failed":
            self.failures.labels(*labels).inc()
        if result in GOOD:
            self.failures.labels(*labels).set(0)
        if result == "committed":
            self.capture_s.labels(*labels).observe(seconds)

    def notice(self, notice: Notice) -> None:
        labels = (notice.source.component, str(notice.source))
        if notice.kind == "durable":
            self.entries.labels(*labels).inc(notice.count)
        elif notice.kind == "quarantined":
            self.quarantined.labels(*labels).inc(notice.count)
        else:
            self.log_events.labels(*labels, notice.kind).inc(notice.count)
        if notice.lag_s is not None:
            self.lag.labels(*labels).observe(max(0.0, notice.lag_s))

    def text(self) -> bytes:
        """In the text format 0.0.4."""
        return generate_latest(self.registry)


class Standings(Collector):
    """Where every row stands, from the last overview. Ages are as of the scrape: they grow while nobody refreshes."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: the registry must not compute anything to learn the names."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        overview, now = self._watch.overview, self._watch.now()
        yield from _targets(self._watch.strategy)
        yield _by(("place",), "dr_clock_skew_seconds", "Our clock minus the store's.", _places(self._watch.skew_s))
        if overview is None:
            return
        yield from _rows(overview, now)
        yield from _drills(overview)
        yield _plain("dr_overview_age_seconds", "Since the stores were asked.", (now - overview.listed).total_seconds())
        yield _plain("dr_unanswered", "Things that could not be asked at the last look.", len(overview.trouble))
        frozen = overview.frozen
        yield _plain("dr_frozen", "1 while a person has stopped pruning and captures.", float(frozen is not None))
        seconds = (now - frozen.at).total_seconds() if frozen else 0.0
        yield _plain("dr_frozen_seconds", "How long the freeze stands.", seconds)


_Samples = Iterable[tuple[tuple[str, ...], float]]


def _by(labels: tuple[str, ...], name: str, words: str, samples: _Samples) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _plain(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words, value=value)


def _places(skew_s: Mapping[str, float]) -> _Samples:
    return (((place,), seconds) for place, seconds in sorted(skew_s.items()))


def _targets(strategy: Strategy) -> Iterable[GaugeMetricFamily]:
    rows = strategy.objectives
    for name, words, values in (
        ("rpo", "What may be lost; 0: nothing.", [row.rpo for row in rows]),
        ("rto", "How long recovery may take.", [row.rto for row in rows]),
        ("retention", "How long points are kept.", [row.retention for row in rows]),
    ):
        samples = [((row.component,), value.total_seconds()) for row, value in zip(rows, values, strict=True)]
        yield _by(("component",), f"dr_{name}_target_seconds", words, samples)


def _labels(row: StatusRow) -> tuple[str, ...]:
    return (row.component, row.source, str(row.domain))


def _rows(overview: Overview, now: datetime) -> Iterable[GaugeMetricFamily]:
    rows = [row for row in overview.rows if row.standing is not Standing.NOT_CAPTURED]
    ages = [(_labels(row), (now - row.newest).total_seconds()) for row in rows if row.newest]
    yield _by(_ROW, "dr_recovery_point_age_seconds", "Of the newest point, or of the change log's end.", ages)
    limits = [(_labels(row), row.limit.total_seconds()) for row in rows]
    yield _by(_ROW, "dr_recovery_point_age_limit_seconds", "Age at which the row is late.", limits)
    proven = [(_labels(row), (now - row.proven).total_seconds()) for row in rows if row.proven]
    yield _by(_ROW, "dr_proven_point_age_seconds", "Of the newest point that a drill restored.", proven)
    counts = [(_labels(row), float(row.points)) for row in rows]
    yield _by(_ROW, "dr_recovery_points", "Points that survive the domain.", counts)
    reach = [(_labels(row), row.reach(now).total_seconds()) for row in rows]
    yield _by(_ROW, "dr_retention_reach_seconds", "How far back the row can be restored.", reach)
    missed = [(_labels(row), float(row.verdict.miss)) for row in rows]
    yield _by(_ROW, "dr_row_missed", "1 when the row's verdict is a miss.", missed)
    held = {(row.component, row.source): float(row.held) for row in rows}
    yield _by(_SOURCE, "dr_points_on_hold", "Points that a person holds.", held.items())
    due = {(row.component, row.source): row.next_due.timestamp() for row in rows if row.next_due}
    yield _by(_SOURCE, "dr_next_due_timestamp_seconds", "When the next capture is due.", due.items())


def _drills(overview: Overview) -> Iterable[GaugeMetricFamily]:
    """Of the last drill of each row; a row that was never drilled has no series."""
    last = [(_labels(row), row.proof.last) for row in overview.rows if row.proof]
    at = [(labels, mark.at.timestamp()) for labels, mark in last]
    yield _by(_ROW, "dr_last_drill_timestamp_seconds", "When it was declared.", at)
    kept = [(labels, float(mark.kept)) for labels, mark in last]
    yield _by(_ROW, "dr_last_drill_kept", "1 when it kept all that was promised.", kept)
    proven = [
        (_labels(row), row.proof.proven.at.timestamp()) for row in overview.rows if row.proof and row.proof.proven
    ]
    yield _by(_ROW, "dr_last_proof_timestamp_seconds", "When the proven point was restored by a drill.", proven)
    took = [(labels, mark.recovery_s) for labels, mark in last if mark.recovery_s is not None]
    yield _by(_ROW, "dr_last_drill_recovery_seconds", "Declaration to the last check.", took)
    due = [((one.scenario,), one.standing.next.timestamp()) for one in overview.exercises if one.standing.next]
    yield _by(_SCENARIO, "dr_next_drill_timestamp_seconds", "When the drill is due by the calendar.", due)
    late = [((one.scenario,), float(one.standing.late)) for one in overview.exercises]
    yield _by(_SCENARIO, "dr_drill_late", "1 when it should have been run long ago.", late)
    if overview.at_risk is not None:
        risk = [((), overview.at_risk.percent / 100)]
        yield _by((), "dr_sla_credit_at_risk_ratio", "Share of the month's fee, by the last drills.", risk)
