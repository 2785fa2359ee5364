"""kill -9 of the lab's Cloud Storage loses nothing acknowledged and leaves nothing half-visible."""

import asyncio
import contextlib
import hashlib
import itertools
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from starlette.types import Message

from lab.storage.clock import Clock
from lab.storage.model import Bucket
from lab.storage.routing import Front
from lab.storage.service import Service
from tests.contract.storage_server import Lab, Server, stop

SIZES = (10, 5_000, 64 * 1024, 70_000, 400_000)
ROUNDS = 3
ACKS_PER_ROUND = 40
CHUNK = 256 * 1024
TROUBLE = (exceptions.GoogleAPIError, requests.RequestException, OSError)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    started = Lab.start(tmp_path_factory.mktemp("lab"))
    yield started
    stop(started.tokens)


@pytest.fixture
def server(lab: Lab, tmp_path: Path) -> Iterator[Server]:
    started = Server(lab, tmp_path / "store").start()
    yield started
    started.stop()


def content(name: str) -> bytes:
    """An object's bytes follow from its name, so a reader knows what must be there."""
    seed = hashlib.sha256(name.encode()).digest()
    size = SIZES[seed[0] % len(SIZES)]
    return (seed * (size // len(seed) + 1))[:size]


@dataclass
class Writers:
    """Threads that put until the server dies; `acked` holds what was acknowledged, `deleted` likewise."""

    server: Server
    tag: str
    acked: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    enough: threading.Event = field(default_factory=threading.Event)

    def run(self, count: int, kill: Callable[[], None]) -> None:
        """Write from `count` threads and kill the server amid them."""
        threads = [threading.Thread(target=self._write, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        assert self.enough.wait(30)
        kill()
        for thread in threads:
            thread.join(30)

    def _write(self, number: int) -> None:
        bucket = self.server.client().bucket("wards")
        for turn in itertools.count():
            name = f"{self.tag}/{number}/{turn}"
            try:
                self._put(bucket.blob(name), resumable=turn % 4 == 3)
                self.acked.add(name)
                if turn % 5 == 4:
                    bucket.blob(name).delete(retry=None)
                    self.deleted.add(name)
            except TROUBLE:
                return
            if len(self.acked) >= ACKS_PER_ROUND:
                self.enough.set()

    def _put(self, blob: storage.Blob, *, resumable: bool) -> None:
        blob.chunk_size = CHUNK if resumable else None
        blob.upload_from_string(content(blob.name), if_generation_match=0, checksum="crc32c", retry=None)


def test_kill_9_under_load(server: Server) -> None:
    server.client().create_bucket("wards")
    acked, deleted = set[str](), set[str]()
    for turn in range(ROUNDS):
        writers = Writers(server, f"round-{turn}")
        writers.run(4, server.kill)
        server.start()
        acked, deleted = acked | writers.acked, deleted | writers.deleted
        assert len(writers.acked) >= ACKS_PER_ROUND
        _check(server, acked, deleted)
    assert _unfinished(server.directory) == []


def _check(server: Server, acked: set[str], deleted: set[str]) -> None:
    """All acknowledged is there, whole; all else that is there is whole too; no payload lies around unnamed."""
    client = server.client()
    present = {blob.name: blob for blob in client.list_blobs("wards")}
    # the last deletion of a thread may have been carried out without an answer
    doubtful = {name for name in acked - deleted if int(name.rpartition("/")[2]) % 5 == 4}
    assert acked - deleted - doubtful <= set(present)
    assert not deleted & set(present)
    for name, blob in present.items():
        assert blob.download_as_bytes(checksum="crc32c") == content(name), name


def _unfinished(directory: Path) -> list[Path]:
    return list((directory / "incoming").iterdir())


def test_no_answer_leaves_before_its_commit(lab: Lab, tmp_path: Path) -> None:
    """Deterministic: another connection to the database sees the object at the moment the answer is sent."""
    seen = asyncio.run(_put_and_look(Service.open(tmp_path, lab.iam, Clock()), tmp_path / "index.db"))
    assert seen == [200, 1]


async def _put_and_look(service: Service, database: Path) -> list[int]:
    service.index.put_bucket(Bucket("wards", "p", 1, 0, 0, {}))
    seen = list[int]()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"data"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            with contextlib.closing(sqlite3.connect(database)) as other:
                seen.extend([message["status"], *other.execute("select count(*) from objects").fetchone()])

    path, query = b"/upload/storage/v1/b/wards/o", b"uploadType=media&name=o"
    scope = {"type": "http", "method": "POST", "scheme": "http", "raw_path": path, "query_string": query, "headers": []}
    transport = {"lab.transport": {"transport": None}}
    await Front(service, "operator")({**scope, "extensions": transport}, receive, send)
    service.index.close()
    return seen


def test_a_resumable_upload_goes_on_after_kill_9(server: Server) -> None:
    server.client().create_bucket("wards")
    data, session = os.urandom(2 * CHUNK + 100), server.lab.session("operator")
    begun = session.post(
        f"{server.url}/upload/storage/v1/b/wards/o?uploadType=resumable&name=o&ifGenerationMatch=0", json={}
    )
    address = begun.headers["Location"]
    first = session.put(address, data=data[:CHUNK], headers={"Content-Range": f"bytes 0-{CHUNK - 1}/*"})
    assert (first.status_code, first.headers["Range"]) == (308, f"bytes=0-{CHUNK - 1}")
    server.kill()
    with next((server.directory / "uploads").iterdir()).open("ab") as file:
        file.write(b"half of a chunk that was never acknowledged")
    server.start()
    assert [path.stat().st_size for path in (server.directory / "uploads").iterdir()] == [CHUNK]
    asked = session.put(address, headers={"Content-Range": "bytes */*"})
    assert (asked.status_code, asked.headers["Range"]) == (308, f"bytes=0-{CHUNK - 1}")
    rest = {"Content-Range": f"bytes {CHUNK}-{len(data) - 1}/{len(data)}"}
    done = session.put(address, data=data[CHUNK:], headers=rest)
    assert done.status_code == 200
    server.kill()
    server.start()
    again = session.put(address, headers={"Content-Range": f"bytes */{len(data)}"})
    assert (again.status_code, again.json()["generation"]) == (200, done.json()["generation"])
    assert server.client().bucket("wards").blob("o").download_as_bytes() == data


def test_an_upload_that_breaks_off_leaves_nothing(server: Server) -> None:
    server.client().create_bucket("wards")
    session = server.lab.session("operator")

    def breaking() -> Iterator[bytes]:
        yield b"x" * 300_000
        raise ConnectionAbortedError

    with pytest.raises(requests.exceptions.ConnectionError):
        session.post(f"{server.url}/upload/storage/v1/b/wards/o?uploadType=media&name=o", data=breaking())
    assert not server.client().bucket("wards").blob("o").exists()


@pytest.mark.parametrize("keep", [0, 60_000])
def test_a_payload_damaged_on_disk_is_served_as_it_is(server: Server, keep: int) -> None:
    """The store cannot vouch for its disk; the checksum it returns lets the reader see it."""
    bucket = server.client().create_bucket("wards")
    bucket.blob("o").upload_from_string(b"x" * 100_000)
    os.truncate(next((server.directory / "payloads").glob("*/*")), keep)
    answer = server.lab.session("operator").get(f"{server.url}/download/storage/v1/b/wards/o/o?alt=media")
    assert (answer.status_code, len(answer.content)) == (200, keep)
    assert answer.headers["X-Goog-Stored-Content-Length"] == "100000"
    with pytest.raises((DataCorruption, ConnectionError)):
        bucket.blob("o").download_as_bytes(checksum="crc32c", retry=None)


def test_recovery_removes_orphans_and_nothing_else(server: Server) -> None:
    bucket = server.client().create_bucket("wards")
    bucket.blob("o").upload_from_string(b"x" * 100_000)
    server.kill()
    (server.directory / "incoming" / "half").write_bytes(b"half")
    (server.directory / "payloads" / "ab").mkdir(exist_ok=True)
    (server.directory / "payloads" / "ab" / "fab0").write_bytes(b"never committed")
    (server.directory / "uploads" / "unknown").write_bytes(b"no session")
    server.start()
    assert server.control("GET", "/stats")["orphans_removed"] == 3
    assert server.client().bucket("wards").blob("o").download_as_bytes() == b"x" * 100_000
