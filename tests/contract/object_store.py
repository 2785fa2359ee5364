"""What every ObjectStore must do (`dr.ports.ObjectStore`). Inherit, and give a fixture `store` that is empty."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from dr.errors import CONFLICT, NOT_FOUND, REJECTED, RETENTION_REFUSED, DrError, ErrorKind
from dr.ports import ObjectStore
from dr.stores.digest import crc32c

CRC_OF_123456789 = "4waSgw=="
"""The check value of CRC-32C, big-endian, base64."""


def refused(kind: ErrorKind, call: Callable[[], object]) -> DrError:
    with pytest.raises(DrError) as caught:
        call()
    assert caught.value.kind is kind, caught.value.message
    return caught.value


def pieces(size: int, count: int) -> Iterator[bytes]:
    for index in range(count):
        yield bytes([index % 251]) * size


class ObjectStoreContract:
    def test_what_was_put_is_read_back(self, store: ObjectStore) -> None:
        info = store.put("a/b.json", b"123456789", metadata={"dr-as-of": "2025-05-28T10:00:00Z"})
        assert (info.name, info.size, info.crc32c) == ("a/b.json", 9, CRC_OF_123456789)
        assert store.get("a/b.json") == b"123456789"
        assert store.get("a/b.json", generation=info.generation) == b"123456789"
        assert store.stat("a/b.json") == info
        assert info.metadata == {"dr-as-of": "2025-05-28T10:00:00Z"}
        assert abs(info.created - datetime.now(UTC)) < timedelta(minutes=5)
        assert info.retain_until is None

    @pytest.mark.parametrize("data", [b"", b"x", b"\0" * 70_000, bytes(range(256)) * 9000])
    def test_any_bytes(self, store: ObjectStore, data: bytes) -> None:
        store.put("blob", data)
        assert store.get("blob") == data
        assert b"".join(store.stream("blob")) == data

    def test_create_only_refuses_other_content(self, store: ObjectStore) -> None:
        store.put("a", b"first")
        assert "a" in refused(CONFLICT, lambda: store.put("a", b"other")).message
        assert store.get("a") == b"first"

    def test_create_only_takes_equal_content_for_a_lost_acknowledgement(self, store: ObjectStore) -> None:
        first = store.put("a", b"same", metadata={"k": "v"})
        assert store.put("a", b"same", metadata={"k": "v"}).generation == first.generation
        assert store.put_stream("a", [b"sa", b"me"]).info.generation == first.generation

    def test_replacing_needs_the_generation(self, store: ObjectStore) -> None:
        first = store.put("a", b"one")
        second = store.put("a", b"two", if_generation=first.generation)
        assert second.generation > first.generation
        refused(CONFLICT, lambda: store.put("a", b"three", if_generation=first.generation))
        assert store.put("a", b"four", if_generation=None).generation > second.generation
        assert store.get("a") == b"four"
        refused(CONFLICT, lambda: store.put("new", b"x", if_generation=first.generation))
        assert store.stat("new") is None

    def test_one_of_many_creators_wins(self, store: ObjectStore) -> None:
        def create(index: int) -> bool:
            try:
                store.put("slot", f"owner {index}".encode())
            except DrError as error:
                if error.kind is not CONFLICT:
                    raise
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(create, range(8))) == 1

    @pytest.mark.parametrize(("size", "count"), [(10, 3), (1 << 20, 3), (3_000_000, 7), (1 << 22, 4)])
    def test_streams_are_hashed_end_to_end(self, store: ObjectStore, size: int, count: int) -> None:
        import hashlib

        whole = b"".join(pieces(size, count))
        stored = store.put_stream("big", pieces(size, count), metadata={"role": "x"})
        assert stored.info.size == len(whole)
        assert stored.sha256 == hashlib.sha256(whole).hexdigest()
        assert stored.info.crc32c == crc32c(whole)
        read = hashlib.sha256()
        for chunk in store.stream("big", generation=stored.info.generation):
            read.update(chunk)
        assert read.hexdigest() == stored.sha256
        assert store.stat("big") == stored.info

    @pytest.mark.parametrize("size", [10, 9 << 20])
    def test_a_stream_that_breaks_leaves_nothing(self, store: ObjectStore, size: int) -> None:
        def broken() -> Iterator[bytes]:
            yield b"x" * size
            raise RuntimeError("the source broke")

        with pytest.raises(RuntimeError, match="the source broke"):
            store.put_stream("half", broken())
        assert store.stat("half") is None
        assert list(store.list("half")) == []

    @pytest.mark.parametrize("size", [10, 9 << 20])
    def test_streams_obey_preconditions(self, store: ObjectStore, size: int) -> None:
        store.put("a", b"one")
        refused(CONFLICT, lambda: store.put_stream("a", pieces(size, 1)))
        assert store.get("a") == b"one"

    def test_what_is_missing_is_named(self, store: ObjectStore) -> None:
        info = store.put("a", b"1")
        assert store.stat("b") is None
        assert "nowhere" in refused(NOT_FOUND, lambda: store.get("nowhere")).message
        refused(NOT_FOUND, lambda: list(store.stream("nowhere")))
        refused(NOT_FOUND, lambda: store.get("a", generation=info.generation + 1))
        refused(NOT_FOUND, lambda: store.delete("nowhere", generation=info.generation))
        refused(NOT_FOUND, lambda: store.retain("nowhere", generation=1, until=datetime.now(UTC) + timedelta(days=1)))

    def test_listing_is_in_order_and_by_prefix(self, store: ObjectStore) -> None:
        names = ["a-b", "a/1", "a/2", "a/b/c", "a0", "b", "points/2025/05/28/x.json", "points/2025/06/01/y.json", "é/1"]
        for name in reversed(names):
            store.put(name, name.encode(), metadata={"n": name.encode().hex()})
        assert [info.name for info in store.list()] == names
        assert [info.name for info in store.list("a/")] == ["a/1", "a/2", "a/b/c"]
        assert [info.name for info in store.list("a")] == names[:5]
        assert [info.name for info in store.list("points/2025/05")] == ["points/2025/05/28/x.json"]
        assert list(store.list("zzz")) == []
        assert [store.stat(info.name) for info in store.list()] == list(store.list())
        assert next(store.list("b")).metadata == {"n": "62"}

    def test_listing_after_a_name(self, store: ObjectStore) -> None:
        for name in ("p/1", "p/2", "p/2/x", "p/3", "q"):
            if name != "p/2/x":
                store.put(name, b"")
        assert [info.name for info in store.list("p/", start_after="p/1")] == ["p/2", "p/3"]
        assert [info.name for info in store.list("p/", start_after="p/15")] == ["p/2", "p/3"]
        assert [info.name for info in store.list("", start_after="p/3")] == ["q"]
        assert list(store.list("p/", start_after="p/9")) == []

    def test_delete_takes_only_its_generation(self, store: ObjectStore) -> None:
        first = store.put("a", b"1")
        second = store.put("a", b"2", if_generation=first.generation)
        refused(NOT_FOUND, lambda: store.delete("a", generation=first.generation))
        store.delete("a", generation=second.generation)
        assert store.stat("a") is None
        refused(NOT_FOUND, lambda: store.delete("a", generation=second.generation))
        assert store.put("a", b"3").generation > second.generation

    def test_a_locked_object_stays(self, store: ObjectStore) -> None:
        info = store.put("a", b"1")
        until = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)
        store.retain("a", generation=info.generation, until=until)
        refused(RETENTION_REFUSED, lambda: store.delete("a", generation=info.generation))
        refused(RETENTION_REFUSED, lambda: store.put("a", b"2", if_generation=info.generation))
        refused(RETENTION_REFUSED, lambda: store.put("a", b"2", if_generation=None))
        stored = store.stat("a")
        assert stored is not None
        assert stored.retain_until == until
        assert stored.generation == info.generation
        assert next(store.list("a")).retain_until == until
        assert store.get("a") == b"1"

    def test_a_lock_is_extended_never_shortened(self, store: ObjectStore) -> None:
        info = store.put("a", b"1")
        until = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)
        store.retain("a", generation=info.generation, until=until)
        store.retain("a", generation=info.generation, until=until)
        store.retain("a", generation=info.generation, until=until + timedelta(days=1))
        refused(RETENTION_REFUSED, lambda: store.retain("a", generation=info.generation, until=until))
        refused(NOT_FOUND, lambda: store.retain("a", generation=info.generation + 1, until=until + timedelta(days=9)))
        stored = store.stat("a")
        assert stored is not None
        assert stored.retain_until == until + timedelta(days=1)

    def test_a_held_object_stays_until_the_hold_is_off(self, store: ObjectStore) -> None:
        info = store.put("a", b"1")
        assert not info.held
        for _ in range(2):
            store.hold("a", generation=info.generation, held=True)
        refused(RETENTION_REFUSED, lambda: store.delete("a", generation=info.generation))
        refused(RETENTION_REFUSED, lambda: store.put("a", b"2", if_generation=info.generation))
        stored = store.stat("a")
        assert stored is not None
        assert stored.held
        assert next(store.list("a")).held
        assert (stored.generation, store.get("a")) == (info.generation, b"1")
        for _ in range(2):
            store.hold("a", generation=info.generation, held=False)
        assert not next(store.list("a")).held
        store.delete("a", generation=info.generation)
        again = store.put("a", b"3")
        assert not again.held
        refused(NOT_FOUND, lambda: store.hold("a", generation=info.generation, held=True))
        refused(NOT_FOUND, lambda: store.hold("nowhere", generation=1, held=True))

    def test_a_hold_and_a_lock_do_not_know_of_each_other(self, store: ObjectStore) -> None:
        info = store.put("a", b"1")
        until = (datetime.now(UTC) + timedelta(days=30)).replace(microsecond=0)
        store.hold("a", generation=info.generation, held=True)
        store.retain("a", generation=info.generation, until=until)
        store.hold("a", generation=info.generation, held=False)
        stored = store.stat("a")
        assert stored is not None
        assert (stored.retain_until, stored.held) == (until, False)
        refused(RETENTION_REFUSED, lambda: store.delete("a", generation=info.generation))

    @pytest.mark.parametrize("name", ["", "/a", "a//b", "../a", "a/..", ".", "a\nb", "x" * 1025, "a/"])
    def test_names_that_no_store_takes(self, store: ObjectStore, name: str) -> None:
        refused(REJECTED, lambda: store.put(name, b"x"))

    @pytest.mark.parametrize("name", ["a b", "ü/ñ", "a@b+c=d&e?f#g%h", "x" * 200, "[all]", "~", "a\\b"])
    def test_names_that_every_store_takes(self, store: ObjectStore, name: str) -> None:
        info = store.put(name, b"x")
        assert store.get(name) == b"x"
        assert [found.name for found in store.list()] == [info.name] == [name]

    def test_the_server_clock_is_near_or_none(self, store: ObjectStore) -> None:
        told = store.server_time()
        assert told is None or abs(told - datetime.now(UTC)) < timedelta(minutes=1)

    def test_the_owner_lacks_no_permission(self, store: ObjectStore) -> None:
        store.put("a", b"")
        assert (
            store.missing_permissions(["storage.objects.create", "storage.objects.get", "storage.objects.list"]) == ()
        )
