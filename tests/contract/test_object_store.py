"""Every ObjectStore, held to the same suite."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dr.errors import (
    CONFIGURATION,
    CONFLICT,
    DAMAGED,
    NOT_AUTHORISED,
    NOT_FOUND,
    RETENTION_REFUSED,
    UNAVAILABLE,
    DrError,
)
from dr.ports import ObjectStore
from dr.stores.faults import Action, Fault, Faults, FaultyStore
from dr.stores.local import LocalStore
from dr.stores.memory import MemoryStore
from dr.stores.opening import open_store
from dr.stores.overlay import Overlay
from dr.vendors.google import GoogleAccess
from tests.contract.object_store import ObjectStoreContract, refused
from tests.contract.storage_server import Lab, Server, stop


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("storage")
    lab = Lab.start(directory / "lab")
    server = Server(lab, directory / "objects").start()
    try:
        yield server
    finally:
        server.stop()
        stop(lab.tokens)


@pytest.fixture(scope="module")
def access(server: Server) -> GoogleAccess:
    return access_as(server, "operator")


class TestMemory(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return MemoryStore()

    def test_a_lock_ends(self) -> None:
        now = [datetime(2025, 5, 28, tzinfo=UTC)]
        store = MemoryStore(now=lambda: now[0])
        lock_and_wait(store, now)

    def test_flipped_bytes_are_noticed(self) -> None:
        store = MemoryStore()
        store.put("a", b"right")
        store.corrupt("a", b"wrong")
        assert "a is damaged" in refused(DAMAGED, lambda: store.get("a")).message


class TestOverlay(ObjectStoreContract):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return Overlay(MemoryStore(), writable=True)


class TestLocal(ObjectStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        (tmp_path / "repository").mkdir()
        return open_store(f"file://{tmp_path}/repository", GoogleAccess())

    def test_a_lock_ends(self, tmp_path: Path) -> None:
        now = [datetime(2025, 5, 28, tzinfo=UTC)]
        lock_and_wait(LocalStore(tmp_path, now=lambda: now[0]), now)

    def test_another_process_sees_the_same(self, tmp_path: Path) -> None:
        first = LocalStore(tmp_path)
        info = first.put("a/b", b"x", metadata={"k": "v"})
        first.retain("a/b", generation=info.generation, until=datetime.now(UTC) + timedelta(days=1))
        assert LocalStore(tmp_path).stat("a/b") == first.stat("a/b")

    @pytest.mark.parametrize("spoil", ["flip", "cut", "header", "empty"])
    def test_damage_on_the_disk_is_noticed(self, tmp_path: Path, spoil: str) -> None:
        store = LocalStore(tmp_path)
        store.put("a", b"precious")
        data = bytearray((tmp_path / "a").read_bytes())
        changed = {"flip": data[:-1] + b"?", "cut": data[:-3], "header": b"x" + data[1:], "empty": b""}[spoil]
        (tmp_path / "a").write_bytes(changed)
        assert str(tmp_path / "a") in refused(DAMAGED, lambda: store.get("a")).message

    def test_a_missing_directory_is_named(self, tmp_path: Path) -> None:
        store = LocalStore(tmp_path / "nowhere")
        assert store.stat("a") is None
        assert "nowhere" in refused(NOT_FOUND, lambda: list(store.list())).message

    def test_nothing_temporary_stays_or_shows(self, tmp_path: Path) -> None:
        store = LocalStore(tmp_path)
        store.put("a", b"1")
        refused_stream = FaultyStore(store, Faults((Fault(Action.ERROR, "put", "b"),)))
        refused(UNAVAILABLE, lambda: refused_stream.put("b", b"2"))
        (tmp_path / ".dr-tmp" / "left-by-a-crash").write_bytes(b"half")
        assert [info.name for info in store.list()] == ["a"]


class TestFaultless(ObjectStoreContract):
    """The wrapper without a script changes nothing."""

    @pytest.fixture
    def store(self) -> ObjectStore:
        return FaultyStore(MemoryStore(), Faults())


class TestCloudStorage(ObjectStoreContract):
    @pytest.fixture
    def store(self, access: GoogleAccess, server: Server) -> ObjectStore:
        bucket = f"b-{uuid.uuid4().hex[:12]}"
        create_bucket(access, bucket)
        return open_store(f"gs://{bucket}/below/here", access)

    def test_a_missing_bucket_is_named(self, access: GoogleAccess) -> None:
        store = open_store("gs://no-such-bucket-anywhere", access)
        for call in (lambda: list(store.list()), lambda: store.put("a", b""), lambda: store.stat("a")):
            assert "no-such-bucket-anywhere" in refused(NOT_FOUND, call).message

    def test_what_is_not_permitted_is_said(self, store: ObjectStore, server: Server) -> None:
        store.put("a", b"secret")
        stranger = open_store(store.url, access_as(server, "prune"))
        assert store.url in refused(NOT_AUTHORISED, lambda: stranger.get("a")).message
        assert stranger.missing_permissions(["storage.objects.get"]) == ("storage.objects.get",)

    def test_who_may_not_delete_creates_once(self, store: ObjectStore, server: Server) -> None:
        """The identity that captures: create, get, list, lock."""
        bucket = store.url.split("/")[2]
        wanted = [f"storage.objects.{verb}" for verb in ("create", "get", "list", "update", "setRetention")]
        server.lab.iam.grant("capture", wanted, f"buckets/{bucket}")
        ours = open_store(store.url, access_as(server, "capture"))
        info = ours.put("a", b"1")
        assert ours.put("a", b"1") == info
        refused(CONFLICT, lambda: ours.put("a", b"2"))
        ours.retain("a", generation=info.generation, until=datetime.now(UTC) + timedelta(days=1))
        refused(CONFLICT, lambda: ours.put_stream("a", [b"2"]))
        assert ours.put("a", b"1").generation == info.generation
        with pytest.raises(DrError):
            ours.delete("a", generation=info.generation)
        assert ours.get("a") == b"1"

    def test_nobody_answers(self, access: GoogleAccess) -> None:
        import dataclasses

        silent = dataclasses.replace(access, storage_endpoint="https://127.0.0.1:9")
        with pytest.raises(DrError) as caught:
            open_store("gs://b", silent).stat("a")
        assert caught.value.temporary

    @pytest.mark.parametrize("size", [100, 20 << 20])
    def test_a_reply_that_is_lost_counts_once(self, store: ObjectStore, server: Server, size: int) -> None:
        server.fault({"object": "lost"}, {"commit_then_drop": True})
        stored = store.put_stream("lost", iter([b"x" * size]))
        assert store.stat("lost") == stored.info

    def test_a_reply_that_is_cut_is_taken_up_again(self, store: ObjectStore, server: Server) -> None:
        data = os.urandom(5 << 20)
        store.put("cut", data)
        server.fault({"method": "GET", "object": "cut"}, {"truncate": 0.3})
        assert store.get("cut") == data

    def test_a_busy_server_is_asked_again(self, store: ObjectStore, server: Server) -> None:
        server.fault({"object": "busy"}, {"status": 503})
        store.put("busy", b"1")
        assert store.get("busy") == b"1"


def access_as(server: Server, name: str) -> GoogleAccess:
    return GoogleAccess(
        server.lab.iam.key_file(name), server.url, ca_file=server.lab.ca.certificate, project="energent-lab"
    )


def create_bucket(access: GoogleAccess, name: str) -> None:
    reply = access.session().post(
        f"{access.storage_endpoint}/storage/v1/b?project=p&enableObjectRetention=true", json={"name": name}
    )
    assert reply.ok, reply.text


def lock_and_wait(store: ObjectStore, now: list[datetime]) -> None:
    info = store.put("a", b"1")
    store.retain("a", generation=info.generation, until=now[0] + timedelta(days=1))
    refused(RETENTION_REFUSED, lambda: store.delete("a", generation=info.generation))
    now[0] += timedelta(days=1)
    store.delete("a", generation=info.generation)
    assert store.stat("a") is None


@pytest.mark.parametrize("url", ["s3://b", "gs://", "file://host/x", "file:relative", "/srv/x", ""])
def test_places_that_are_none(url: str) -> None:
    assert repr(url) in refused(CONFIGURATION, lambda: open_store(url, GoogleAccess())).message


def test_faults_strike_where_the_script_says() -> None:
    inner = MemoryStore()
    faults = Faults((Fault(Action.LOSE_REPLY, "put", "a/.*", first=1), Fault(Action.FLIP, "get", "a/1")))
    store = FaultyStore(inner, faults)
    store.put("a/1", b"one")
    refused(UNAVAILABLE, lambda: store.put("a/2", b"two"))
    assert inner.get("a/2") == b"two"
    store.put("a/3", b"three")
    assert store.get("a/1") != b"one" == inner.get("a/1")
    assert store.get("a/1") == b"one"
    assert faults.log[:3] == [("put", "a/1"), ("put", "a/2"), ("put", "a/3")]
