"""The audit log: from Pub/Sub's acknowledgement to a durable segment at 1,000 entries a second, and how fast a backlog is
archived against `rclone copy` of the same bytes into the same bucket, in one run. Goal: p99 < 2 s.

What both have in common (the lab's storage server, two cores) decides the absolute figures; the ratio is what is compared.
`rclone` is Debian's; without it the copy is made by google-cloud-storage, and the report says so.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import paired, report, spread
from benchmarks.stack import DataLab, data_lab
from dr.app.core import App, open_app
from dr.changelog import Entry, LogWriter
from dr.changelog.entries import read_entry, read_segments
from dr.changelog.frames import decompressing, lines
from dr.components.audit.entry import key_of
from dr.model.ids import SourceId
from dr.model.timeline import parse_instant
from dr.ports import Notice, ObjectInfo, ObjectStore
from lab.energent.audit import Publisher, audit_entry
from lab.energent.store import Target
from lab.grants import AUDIT_VAULT
from lab.state import AUDIT_SINK
from tests.lab.test_audit import audit_strategy

RATE, SECONDS, GOAL_S = 1000, 30, 2.0
BACKLOG, ROUNDS = 30_000, 3
FILE_BYTES = 8 << 20
SOURCE = SourceId("audit", "pubsub", AUDIT_SINK)


@dataclass
class Watched:
    """A store that notes when each segment became durable: (wall seconds, stored bytes)."""

    inner: ObjectStore
    segments: list[tuple[float, bytes]] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def put(
        self, name: str, data: bytes, *, if_generation: int | None = 0, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        stored = self.inner.put(name, data, if_generation=if_generation, metadata=metadata)
        if name.startswith("log/"):
            self.segments.append((time.time(), data))
        return stored

    def durable(self) -> dict[str, float]:
        """When each entry became durable."""
        found: dict[str, float] = {}
        for at, data in self.segments:
            for _, body in read_segments(lines(decompressing([data], "segment")), "segment"):
                for line in body:
                    found.setdefault(read_entry(line, "segment").key, at)
        return found


class Following:
    """The follower on a thread of this process."""

    def __init__(self, app: App, store: Watched) -> None:
        self.told: list[Notice] = []
        self._stop = threading.Event()
        follower = app.kits["audit"].follower
        assert follower is not None
        run = follower(app.spec(SOURCE)).follow
        self._thread = threading.Thread(target=run, args=(store, self._stop.is_set, self.told.append))
        self._thread.start()

    def count(self) -> int:
        return sum(one.count for one in list(self.told) if one.kind == "durable")

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, data_lab(Path(folder) / "lab") as lab:
        (lab.directory / "strategy.yaml").write_text(audit_strategy())
        environment = lab.environment()
        argv = [sys.executable, "-m", "dr", "init", "--repositories"]
        subprocess.run(argv, check=True, env={**os.environ, **environment}, stdout=sys.stderr)
        app = open_app(environment["DR_CONFIG"], environment["DR_STRATEGY"], "capture")
        app.prepare("audit")
        result = {"latency": latency(lab, app), "throughput": throughput(lab, app, Path(folder))}
    report("audit", {"load_average": os.getloadavg()[0], **result})


# --- latency


def latency(lab: DataLab, app: App) -> Mapping[str, object]:
    """The writer is a process of its own, so that it does not share our interpreter."""
    store, witness = Watched(app.vault("audit")), lab.directory / "witness.jsonl"
    following = Following(app, store)
    argv = [sys.executable, "-m", "lab.energent", "write", "--lab", str(lab.directory), "--out", str(witness)]
    more = ["--only", "audit", "--audit-rate", str(RATE), "--seconds", str(SECONDS)]
    subprocess.run([*argv, *more], check=True, stdout=sys.stderr)
    acknowledged = {e["path"]: parse_instant(e["acked_at"]).timestamp() for e in map(json.loads, witness.open())}
    until(lambda: following.count() >= len(acknowledged))
    following.stop()
    durable = store.durable()
    took = max(acknowledged.values()) - min(acknowledged.values())
    return {
        "entries": len(acknowledged),
        "missing": len(set(acknowledged) - set(durable)),
        "rate": round(len(acknowledged) / took, 1),
        "segments": len(store.segments),
        "published_to_durable_s": quantiles([durable[key] - at for key, at in acknowledged.items()]),
        "goal_p99_s": GOAL_S,
    }


# --- throughput


def throughput(lab: DataLab, app: App, folder: Path) -> Mapping[str, object]:
    """In turn: a backlog archived from Pub/Sub, the same entries appended directly, the same bytes copied."""
    times: dict[str, list[float]] = {"archived": [], "appended": [], "copied": []}
    size = 0
    for turn in range(ROUNDS):
        entries = made(turn)
        datas = [json.dumps(entry, ensure_ascii=False).encode() for entry in entries]
        size = sum(map(len, datas))
        times["archived"].append(archived(lab, app, datas))
        times["appended"].append(appended(app, entries, turn))
        times["copied"].append(copied(lab, folder / f"copy-{turn}", datas))
    megabytes = {name: spread([size / 1e6 / took for took in values]) for name, values in times.items()}
    return {
        "entries": BACKLOG,
        "bytes": size,
        "rounds": ROUNDS,
        "copied_by": "rclone copy" if shutil.which("rclone") else "google-cloud-storage",
        "megabytes_per_s": megabytes,
        "archived_against_copied": paired(times["copied"], times["archived"]),
        "appended_against_copied": paired(times["copied"], times["appended"]),
    }


def made(turn: int) -> list[dict[str, object]]:
    from random import Random

    rng = Random(turn)
    return [audit_entry(rng, "energent-lab", number, f"bench{turn}", datetime.now(UTC)) for number in range(BACKLOG)]


def archived(lab: DataLab, app: App, datas: Sequence[bytes]) -> float:
    """Seconds from the start of the follower until everything is durable; opening the log is part of it."""
    state = lab.state
    reached = Target(state.endpoints["pubsub"], state.project, "", state.key("logging-agent"), state.ca)
    publisher = Publisher(reached, f"projects/{state.project}/topics/{AUDIT_SINK}")
    for start in range(0, len(datas), 500):
        publisher.publish(datas[start : start + 500])
    began = time.perf_counter()
    following = Following(app, Watched(app.vault("audit")))
    until(lambda: following.count() >= len(datas))
    took = time.perf_counter() - began
    following.stop()
    return took


def appended(app: App, entries: Sequence[Mapping[str, object]], turn: int) -> float:
    """The change log alone, from entries to the last segment."""
    source = SourceId("audit", "pubsub", f"appended-{turn}")
    began = time.perf_counter()
    with LogWriter(app.vault("audit"), source, app.clock) as writer:
        for start in range(0, len(entries), 500):
            block = [
                Entry(parse_instant(str(body["timestamp"])), key_of(body), {"entry": body})
                for body in entries[start : start + 500]
            ]
            writer.append(block, app.clock.now())
        writer.flush()
        return time.perf_counter() - began


def copied(lab: DataLab, folder: Path, datas: Sequence[bytes]) -> float:
    """The same bytes as JSON lines in files, into the same bucket."""
    folder.mkdir()
    text = b"\n".join(datas)
    for index, start in enumerate(range(0, len(text), FILE_BYTES)):
        (folder / f"{index:03d}.jsonl").write_bytes(text[start : start + FILE_BYTES])
    if not shutil.which("rclone"):
        store = lab.store(AUDIT_VAULT)
        began = time.perf_counter()
        for file in sorted(folder.iterdir()):
            store.put(f"copied/{folder.name}/{file.name}", file.read_bytes())
        return time.perf_counter() - began
    flags = {
        "--gcs-service-account-file": str(lab.state.key("operator")),
        "--gcs-endpoint": f"{lab.state.endpoints['storage']}/storage/v1/",
        "--ca-cert": str(lab.state.ca),
    }
    words = [word for pair in flags.items() for word in pair]
    argv = [
        "rclone",
        "copy",
        str(folder),
        f":gcs:{AUDIT_VAULT}/copied/{folder.name}",
        "--gcs-bucket-policy-only",
        *words,
    ]
    began = time.perf_counter()
    subprocess.run(argv, check=True, stdout=sys.stderr, timeout=300)
    return time.perf_counter() - began


def until(condition: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def quantiles(values: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"p50": round(cuts[49], 4), "p99": round(cuts[98], 4), "max": round(max(values), 4)}
