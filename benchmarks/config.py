"""Configuration: from a change to its durable entry in the vault, at 100 changes a second for 30 s on the full lab.

Two figures for each change, both to the moment when the store acknowledged the segment that holds it: from the API server's
acknowledgement, and from before the request was sent, which nothing can be faster than. Goal: p99 <= 1 s.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import report
from benchmarks.stack import DataLab, data_lab
from dr.app.core import App, open_app
from dr.changelog.entries import read_entry, read_segments
from dr.changelog.frames import decompressing, lines
from dr.model.ids import SourceId
from dr.ports import Notice, ObjectInfo, ObjectStore
from dr.vendors.kubernetes_objects import text
from lab.energent.manifests import NAMESPACE
from lab.node.api import Api
from tests.lab.configured import config_strategy

RATE, SECONDS = 100, 30
SOURCE = SourceId("config", "kubernetes", "energent-production")
GOAL_S = 1.0


@dataclass
class Watched:
    """A store that notes when each change became durable: `mark` of the object -> monotonic seconds."""

    inner: ObjectStore
    durable: dict[str, float] = field(default_factory=dict)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def put(
        self, name: str, data: bytes, *, if_generation: int | None = 0, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        stored = self.inner.put(name, data, if_generation=if_generation, metadata=metadata)
        now = time.monotonic()
        if name.startswith("log/"):
            for _, body in read_segments(lines(decompressing([data], name)), name):
                for entry in (read_entry(line, name) for line in body):
                    self.durable.setdefault(text(entry.data, "object", "data", "mark"), now)
        return stored


@dataclass
class Writes:
    """What was sent and acknowledged, by mark, monotonic seconds."""

    api: Api
    sent: dict[str, float] = field(default_factory=dict)
    acknowledged: dict[str, float] = field(default_factory=dict)

    def one(self, number: int) -> None:
        name, mark = f"bench-{number % 200}", f"m{number}"
        path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{name}"
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}}
        self.sent[mark] = time.monotonic()
        self.api.apply(path, {**body, "data": {"mark": mark, "filler": "x" * 500}})
        self.acknowledged[mark] = time.monotonic()

    def all(self) -> float:
        """Seconds that it really took."""
        began = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            for number in range(RATE * SECONDS):
                time.sleep(max(0.0, began + number / RATE - time.monotonic()))
                pool.submit(self.one, number)
        return time.monotonic() - began


def follow(app: App, store: ObjectStore, stop: threading.Event, told: list[Notice]) -> threading.Thread:
    follower = app.kits["config"].follower
    assert follower is not None
    spec = app.spec(SOURCE)
    thread = threading.Thread(target=follower(spec).follow, args=(store, stop.is_set, told.append))
    thread.start()
    return thread


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, data_lab(Path(folder) / "lab", "--pitr-window", "240") as lab:
        fill(lab)
        (lab.directory / "strategy.yaml").write_text(config_strategy())
        environment = lab.environment()
        subprocess.run(
            [sys.executable, "-m", "dr", "init", "--repositories"], check=True, env={**environment}, stdout=sys.stderr
        )
        app = open_app(environment["DR_CONFIG"], environment["DR_STRATEGY"], "capture")
        measured = measure(lab, app)
    report("config", measured)


def fill(lab: DataLab) -> None:
    argv = [sys.executable, "-m", "lab.energent", "fill", "--lab", str(lab.directory), "--documents", "60"]
    subprocess.run(argv, check=True, stdout=sys.stderr)


def measure(lab: DataLab, app: App) -> dict[str, object]:
    app.prepare("config")
    store, stop, told = Watched(app.vault("config")), threading.Event(), list[Notice]()
    thread = follow(app, store, stop, told)  # type: ignore[arg-type]
    until(lambda: bool(store.durable))
    writes = Writes(Api.open(lab.state.kubeconfigs["admin"]))
    took = writes.all()
    last = f"m{RATE * SECONDS - 1}"
    until(lambda: last in store.durable)
    stop.set()
    thread.join()
    # a name that is written twice before the watch sees it shows its last state only; each durable mark is measured
    seen = [mark for mark in writes.acknowledged if mark in store.durable]
    return {
        "changes": len(writes.acknowledged),
        "durable": len(seen),
        "rate": round(len(writes.acknowledged) / took, 1),
        "from_acknowledged_s": quantiles([store.durable[mark] - writes.acknowledged[mark] for mark in seen]),
        "from_sent_s": quantiles([store.durable[mark] - writes.sent[mark] for mark in seen]),
        "from_observed_s": quantiles([one.lag_s for one in told if one.kind == "durable" and one.lag_s is not None]),
        "goal_p99_s": GOAL_S,
    }


def quantiles(values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"p50": round(cuts[49], 4), "p99": round(cuts[98], 4), "max": round(max(values), 4)}


def until(true: object, limit_s: float = 60) -> None:
    assert callable(true)
    end = time.monotonic() + limit_s
    while not true():
        if time.monotonic() > end:
            raise RuntimeError("the follower did not write")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
