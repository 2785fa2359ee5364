"""What to keep and what to delete: 100,000 points decided (goal < 1 s), and a whole dry run over as many in memory.

The decision is the pure one of `dr.plan.retain`; its reading of the rules is held to a naive one in the tests. The dry run lists
points and artefacts of a store in memory, so what it adds is our own work, not a network's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from benchmarks.measure import report, spread
from dr.model.ids import Slot, SourceId
from dr.model.points import Artefact, PointManifest
from dr.model.strategy import FailureDomain, Keep
from dr.plan.retain import Facts, Known, Rule, decide
from dr.record.codec import encode
from dr.record.journal import Journal
from dr.record.summary import metadata_of, of_manifest
from dr.run.clock import SystemClock
from dr.run.condemning import Terms
from dr.run.prune import Options, Pruner
from dr.stores.memory import MemoryStore

POINTS = 100_000
WHOLE = 20_000
RUNS = 5
SOURCES = tuple(SourceId("appdata", "firestore", f"database-{number}") for number in range(4))
RETENTION = timedelta(days=90)
EVERY = timedelta(minutes=8)
RULES = {source: Rule(RETENTION, Keep(daily=120, weekly=26, monthly=24, yearly=7)) for source in SOURCES}


def manifest(number: int, now: datetime) -> PointManifest:
    """The newest first, of each source in turn."""
    at = now - EVERY * (number // len(SOURCES))
    slot = Slot(SOURCES[number % len(SOURCES)], at)
    part = Artefact(f"data/{slot.id}/1/part", "bench/part", 1 << 20, "AAAAAA==", "0" * 64, 1)
    return PointManifest(slot, 1, "bench", at, at, at, (part,), {}, (), tuple(FailureDomain), at + RETENTION, "bench")


def seconds(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Of wall time, or of whatever `clock` counts."""
    began = clock()
    call()
    return clock() - began


def main() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    points = [Known(of_manifest(one, one.name, 1, "AAAAAA==")) for one in (manifest(n, now) for n in range(POINTS))]
    facts = Facts(points, RULES)
    decided = decide(facts, now)
    result = {
        "points": POINTS,
        "kept": sum(decision.keep for decision in decided),
        "decide_s": spread([seconds(lambda: decide(facts, now)) for _ in range(RUNS)]),
        "decide_cpu_s": spread([seconds(lambda: decide(facts, now), time.process_time) for _ in range(RUNS)]),
        "decide_goal_s": 1.0,
        "dry_run_points": WHOLE,
        "dry_run_s": spread([seconds(whole(now)) for _ in range(2)]),
    }
    report("prune", result)


def whole(now: datetime) -> Callable[[], object]:
    """A dry run: inventory, reading what may go, decision, tombstones in mind."""
    control, vault = MemoryStore("control"), MemoryStore("vault")
    for number in range(WHOLE):
        one = manifest(number * (POINTS // WHOLE), now)
        stored = vault.put(one.artefacts[0].name, b"x")
        part = Artefact(stored.name, "bench/part", 1, stored.crc32c, "0" * 64, stored.generation)
        one = PointManifest(
            one.slot,
            1,
            "bench",
            one.as_of,
            one.as_of,
            one.as_of,
            (part,),
            {},
            (),
            one.survives,
            one.retain_until,
            "bench",
        )
        vault.put(one.name, encode(one), metadata=metadata_of(one))
    clock = SystemClock()
    pruner = Pruner(control, vault, Journal(control, clock), clock, "bench", Options(dry_run=True))
    return lambda: pruner.run(Terms("appdata", RULES, RETENTION, {}, frozenset()))


if __name__ == "__main__":
    main()
