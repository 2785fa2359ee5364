"""`dr run` as others see it, in the lab: its pages, a receiver that is down, and the signal of life that ends with it."""

from __future__ import annotations

import json
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.lab.command import ROOT, Dr, lab_strategy
from tests.lab.staged import SOURCE, Stage, staged

pytestmark = pytest.mark.lab
PATIENCE_S = 60
EVERY_S = 1.0


@contextmanager
def receiver() -> Iterator[tuple[str, queue.Queue[str]]]:
    """Takes signals of life."""
    taken: queue.Queue[str] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            taken.put(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/alive", taken
    server.shutdown()
    thread.join()
    server.server_close()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """One row, two domains."""
    table = yaml.safe_load(lab_strategy(1.0))
    table["objectives"] = [row for row in table["objectives"] if row["component"] == "appdata"]
    table["objectives"][0]["domains"] = ["logical", "source"]
    (tmp_path / "strategy.yaml").write_text(yaml.safe_dump(table))
    with staged(tmp_path, documents=60, snapshot_granularity="1") as made:
        yield made


@contextmanager
def service(dr: Dr) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address, once it listens."""
    argv = [sys.executable, "-m", "dr", "run", "--every", "0.5"]
    process = subprocess.Popen(argv, cwd=ROOT, env=dr.environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        serving = json.loads(process.stdout.readline())
        assert serving["event"] == "serving"
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        drain.start()
        yield process, f"http://127.0.0.1:{serving['port']}"
    finally:
        process.kill()
        process.wait()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return str(answer.read().decode())


def metric(address: str, name: str, **labels: str) -> float:
    """The sum of what has these labels."""
    families = text_string_to_metric_families(get(f"{address}/metrics"))
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def ready(address: str) -> bool:
    try:
        return get(f"{address}/readyz") == "ok\n"
    except URLError:
        return False


def test_a_watched_service_and_the_signal_of_life_that_dies_with_it(stage: Stage) -> None:
    with receiver() as (alive, taken):
        hook = f"http://127.0.0.1:{closed_port()}/hook"
        more = {"DR_SERVE_ADDRESS": "127.0.0.1:0", "DR_NOTIFICATIONS_WEBHOOK": hook, "DR_DEADMAN_URL": alive}
        dr = stage.dr.with_(**more, DR_DEADMAN_EVERY=f"{EVERY_S}s")
        dr.fine("freeze", "--reason", "drill of a freeze")
        with service(dr) as (process, address):
            until(lambda: ready(address))
            # nobody takes the message that there is no point and that all is frozen
            until(lambda: metric(address, "dr_notifications_failed_total", channel="webhook") > 0)
            page = get(f"{address}/")
            assert "1 row is missed" in page
            assert "drill of a freeze" in page
            assert "127.0.0.1 does not answer" in page
            assert taken.empty(), "a row without a point withholds the signal of life"
            status = dr("status")
            assert status.code == 6
            assert "FROZEN by" in status.out
            assert "webhook takes no messages since" in status.out

            dr.fine("freeze", "--lift")
            assert taken.get(timeout=PATIENCE_S) == "/alive"
            captured = metric(address, "dr_captures_total", source=str(SOURCE), result="committed")
            assert captured >= 1, "the receiver that is down held up nothing"
            assert metric(address, "dr_recovery_point_age_seconds", domain="source") < 900
            assert metric(address, "dr_leader") == 1

            dr.fine("drill", "run", "appdata")
            drill = dr.fine("drill", "list", "-o", "name").out.strip()
            rows = {item["domain"]: item for item in dr.fine("status", "-o", "json").items}
            assert (rows["source"]["verdict"], rows["source"]["last_drill"]["id"]) == ("met", drill)
            with pytest.raises(URLError):
                get(f"{address}/drills/unknown")

            process.send_signal(signal.SIGKILL)
            process.wait()
            while not taken.empty():
                taken.get()
            with pytest.raises(queue.Empty):
                taken.get(timeout=3 * EVERY_S)
        drawn(dr, drill)


def drawn(dr: Dr, drill: str) -> None:
    """Another process knows the drill from its first look on, and draws its report."""
    with service(dr) as (process, address):
        until(lambda: f"drills/{drill}" in get(f"{address}/"))
        assert get(f"{address}/drills/{drill}").startswith("<!doctype html>")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
