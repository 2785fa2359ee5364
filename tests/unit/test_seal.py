"""Sealed values: any one key opens them, no other thing does, and a dead region neither stops nor spoils anything."""

from __future__ import annotations

import json
import os
import threading
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dr.changelog import seal
from dr.changelog.localkey import LocalKey, make_key
from dr.changelog.seal import KeyTrouble, Sealer
from dr.changelog.sealed import is_sealed
from dr.errors import (
    CONFIGURATION,
    DAMAGED,
    NEWER_FORMAT,
    NOT_AUTHORISED,
    NOT_FOUND,
    TARGET_EXISTS,
    UNREACHABLE,
    DrError,
    ErrorKind,
)


@dataclass
class Region:
    """A key in a region that can go down; counts what it is asked."""

    inner: LocalKey
    down: ErrorKind | None = None
    asked: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.inner.name

    def wrap(self, key: bytes, context: bytes) -> bytes:
        self._answer("wrap")
        return self.inner.wrap(key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        self._answer("unwrap")
        return self.inner.unwrap(wrapped, context)

    def _answer(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise DrError(self.down, "the region is down")


@dataclass
class Slow(Region):
    """Answers once the gate is open."""

    gate: threading.Event = field(default_factory=threading.Event)

    def _answer(self, what: str) -> None:
        assert self.gate.wait(30)


@dataclass
class Time:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def regions(tmp_path: Path) -> tuple[Region, Region]:
    paths = tmp_path / "one", tmp_path / "two"
    for path in paths:
        make_key(path)
    return Region(LocalKey(paths[0])), Region(LocalKey(paths[1]))


def stored(sealed: object) -> Any:
    """As it comes back from a bucket."""
    return json.loads(json.dumps(sealed))


def fails(kind: ErrorKind, sealer: Sealer, sealed: Any, context: bytes = b"c") -> DrError:
    with pytest.raises(DrError) as caught:
        sealer.open(sealed, context)
    assert caught.value.kind is kind, caught.value
    return caught.value


@pytest.mark.parametrize("size", [0, 1, 31, 1 << 20])
def test_what_is_sealed_opens_with_either_key_alone(regions: tuple[Region, Region], size: int) -> None:
    plain = os.urandom(size)
    sealed = stored(Sealer(regions).seal(plain, b"Secret/ns/name"))
    assert is_sealed(sealed)
    for region in regions:
        assert Sealer((region,)).open(sealed, b"Secret/ns/name") == plain
    text = json.dumps(sealed)
    assert size < 31 or b64encode(plain).decode() not in text


def test_the_same_value_never_looks_the_same_twice(regions: tuple[Region, Region]) -> None:
    sealer = Sealer(regions)
    sealed = [stored(sealer.seal(b"same", b"c")) for _ in range(50)]
    assert len({one["nonce"] for one in sealed}) == len({one["ciphertext"] for one in sealed}) == 50


def test_a_value_does_not_open_in_another_place(regions: tuple[Region, Region]) -> None:
    """I7: swapping two sealed Secrets is seen."""
    sealer = Sealer(regions)
    fails(DAMAGED, sealer, stored(sealer.seal(b"x", b"Secret/ns/a")), b"Secret/ns/b")


@pytest.mark.parametrize("part", ["nonce", "ciphertext", "wrapped"])
def test_any_flipped_bit_is_seen(regions: tuple[Region, Region], part: str) -> None:
    """I7, for every byte of every part; of the wrapped keys, each alone."""
    sealed = stored(Sealer(regions[:1]).seal(b"plain text", b"c"))
    holder = sealed["keys"][0] if part == "wrapped" else sealed
    whole = b64decode(holder[part])
    for index in range(len(whole)):
        flipped = bytearray(whole)
        flipped[index] ^= 1 << (index % 8)
        holder[part] = b64encode(bytes(flipped)).decode()
        fails(DAMAGED, Sealer(regions), sealed)


def test_one_damaged_wrapped_key_of_two_costs_nothing(regions: tuple[Region, Region]) -> None:
    sealed, told = stored(Sealer(regions).seal(b"x", b"c")), []
    sealed["keys"][0]["wrapped"] = b64encode(os.urandom(60)).decode()
    assert Sealer(regions, told.append).open(sealed, b"c") == b"x"
    assert [(trouble.key, trouble.doing, trouble.error.kind) for trouble in told] == [
        (regions[0].name, "unwrap", DAMAGED)
    ]


MALFORMED: list[tuple[str, object, ErrorKind]] = [
    ("format", 2, NEWER_FORMAT),
    ("format", "1", DAMAGED),
    ("kind", "point", DAMAGED),
    ("keys", [], DAMAGED),
    ("keys", None, DAMAGED),
    ("keys", [{"name": "a"}], DAMAGED),
    ("keys", ["a"], DAMAGED),
    ("nonce", "AAAA", DAMAGED),
    ("nonce", "%", DAMAGED),
    ("nonce", None, DAMAGED),
    ("ciphertext", "", DAMAGED),
    ("ciphertext", 7, DAMAGED),
    ("extra", 1, DAMAGED),
]


@pytest.mark.parametrize(("name", "value", "kind"), MALFORMED)
def test_what_is_no_sealed_value_is_refused(
    regions: tuple[Region, Region], name: str, value: object, kind: ErrorKind
) -> None:
    sealed = stored(Sealer(regions).seal(b"x", b"c")) | {name: value}
    fails(kind, Sealer(regions), sealed)


def test_one_data_key_an_hour_wrapped_by_every_key(regions: tuple[Region, Region]) -> None:
    time = Time()
    sealer = Sealer(regions, monotonic=time)
    first = stored(sealer.seal(b"x", b"c"))
    time.now += seal.KEY_SECONDS - 1
    second = stored(sealer.seal(b"x", b"c"))
    assert [region.asked for region in regions] == [["wrap"], ["wrap"]]
    assert first["keys"] == second["keys"]
    time.now += 2
    third = stored(sealer.seal(b"x", b"c"))
    assert [entry["name"] for entry in third["keys"]] == [region.name for region in regions]
    assert third["keys"] != first["keys"]


def test_a_data_key_has_a_bounded_number_of_uses(
    regions: tuple[Region, Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "KEY_USES", 3)
    sealer = Sealer(regions)
    sealed = [stored(sealer.seal(b"x", b"c"))["keys"][0]["wrapped"] for _ in range(7)]
    assert [sealed.count(one) for one in dict.fromkeys(sealed)] == [3, 3, 1]


def test_a_wrapped_key_is_unwrapped_once(regions: tuple[Region, Region]) -> None:
    sealer, opener = Sealer(regions), Sealer(regions)
    values = [stored(sealer.seal(b"%d" % n, b"c")) for n in range(20)]
    assert [opener.open(value, b"c") for value in values] == [b"%d" % n for n in range(20)]
    assert regions[0].asked.count("unwrap") == 1
    assert regions[1].asked.count("unwrap") == 0


def test_the_secondary_opens_when_the_primary_region_is_down_and_it_is_said(regions: tuple[Region, Region]) -> None:
    told: list[KeyTrouble] = []
    values = []
    for _ in range(3):  # three data keys
        values.append(stored(Sealer(regions).seal(b"x", b"c")))
    regions[0].down = UNREACHABLE
    opener = Sealer(regions, told.append, time := Time())
    assert [opener.open(value, b"c") for value in values] == [b"x"] * 3
    assert [str(trouble) for trouble in told] == [
        f"key {regions[0].name} could not unwrap a data key: the region is down"
    ]
    assert regions[0].asked.count("unwrap") == 1  # a dead region costs one wait, not one for each key
    time.now += seal.DEGRADED_SECONDS + 1
    regions[0].down = None
    opener.open(stored(Sealer(regions).seal(b"y", b"c")), b"c")
    assert regions[0].asked.count("unwrap") == 2  # and is asked again later


def test_when_no_key_opens_the_telling_reason_is_given(regions: tuple[Region, Region], tmp_path: Path) -> None:
    sealed = stored(Sealer(regions).seal(b"x", b"c"))
    make_key(tmp_path / "other")
    error = fails(CONFIGURATION, Sealer((LocalKey(tmp_path / "other"),)), sealed)
    assert regions[0].name in error.message
    regions[0].down, regions[1].down = NOT_AUTHORISED, UNREACHABLE
    fails(NOT_AUTHORISED, Sealer(regions), sealed)
    sealed["keys"][0]["wrapped"] = "AAAA"
    regions[0].down = None
    fails(UNREACHABLE, Sealer(regions), sealed)


def test_a_dead_region_does_not_stop_the_sealing(regions: tuple[Region, Region]) -> None:
    told: list[KeyTrouble] = []
    sealer = Sealer(regions, told.append, time := Time())
    whole = stored(sealer.seal(b"x", b"c"))
    regions[1].down = UNREACHABLE
    time.now += seal.KEY_SECONDS + 1
    assert stored(sealer.seal(b"x", b"c"))["keys"] == whole["keys"]  # the old key, wrapped by both, serves on
    fresh = Sealer(regions, told.append, time)
    alone = stored(fresh.seal(b"x", b"c"))
    assert [entry["name"] for entry in alone["keys"]] == [regions[0].name]
    assert [(trouble.key, trouble.doing) for trouble in told] == [(regions[1].name, "wrap")] * 2
    regions[1].down = None
    time.now += seal.DEGRADED_SECONDS + 1
    assert len(stored(fresh.seal(b"x", b"c"))["keys"]) == 2


@pytest.mark.parametrize(("first", "second"), [(NOT_AUTHORISED, None), (None, NOT_AUTHORISED), (UNREACHABLE,) * 2])
def test_sealing_fails_where_waiting_will_not_help_or_no_key_answers(
    regions: tuple[Region, Region], first: ErrorKind | None, second: ErrorKind | None
) -> None:
    regions[0].down, regions[1].down = first, second
    with pytest.raises(DrError) as caught:
        Sealer(regions).seal(b"x", b"c")
    assert caught.value.kind is (first or second)


def test_without_keys_nothing_is_sealed_in_the_clear() -> None:
    with pytest.raises(DrError) as caught:
        Sealer(()).seal(b"x", b"c")
    assert caught.value.kind is CONFIGURATION


def test_many_threads_share_one_data_key(regions: tuple[Region, Region]) -> None:
    """They all come while the first still waits for its key to be wrapped."""
    gate, here, sealed = threading.Event(), threading.Semaphore(0), []
    sealer = Sealer((Slow(regions[0].inner, gate=gate),))

    def work() -> None:
        here.release()
        sealed.append(stored(sealer.seal(b"x", b"c")))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for _ in threads:
        here.acquire()
    gate.set()
    for thread in threads:
        thread.join()
    assert len({one["keys"][0]["wrapped"] for one in sealed}) == 1
    assert len({one["nonce"] for one in sealed}) == 16


# --- a key in a file


def test_a_new_key_is_private_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key"
    make_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    with pytest.raises(DrError) as caught:
        make_key(path)
    assert caught.value.kind is TARGET_EXISTS
    assert path.read_bytes() == before


def test_the_name_follows_the_content_not_the_path(tmp_path: Path) -> None:
    make_key(tmp_path / "a")
    raw = b64decode((tmp_path / "a").read_bytes())
    (tmp_path / "b").write_bytes(raw)
    (tmp_path / "b").chmod(0o600)
    sealed = stored(Sealer((LocalKey(tmp_path / "a"),)).seal(b"x", b"c"))
    assert Sealer((LocalKey(tmp_path / "b"),)).open(sealed, b"c") == b"x"
    assert raw.hex() not in json.dumps(sealed)


def test_a_raw_key_of_any_bytes_is_taken_as_it_is(tmp_path: Path) -> None:
    """A line feed at the end of 32 raw bytes belongs to the key."""
    path = tmp_path / "raw"
    path.write_bytes(b"\n" * 32)
    path.chmod(0o600)
    assert LocalKey(path).unwrap(LocalKey(path).wrap(b"k" * 32, b"c"), b"c") == b"k" * 32


@pytest.mark.parametrize(
    ("content", "mode", "kind"),
    [
        (b"short", 0o600, CONFIGURATION),
        (b"", 0o600, CONFIGURATION),
        (b64encode(b"k" * 31), 0o600, CONFIGURATION),
        (b64encode(b"k" * 32), 0o640, CONFIGURATION),
        (b64encode(b"k" * 32), 0o604, CONFIGURATION),
        (None, 0, NOT_FOUND),
    ],
)
def test_a_key_file_that_is_not_right_is_refused(
    tmp_path: Path, content: bytes | None, mode: int, kind: ErrorKind
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(DrError) as caught:
        LocalKey(path).wrap(b"k" * 32, b"c")
    assert caught.value.kind is kind
    assert str(path) in caught.value.message


@pytest.mark.parametrize("context", [b"other", b""])
def test_a_wrapped_key_is_bound_to_its_context(tmp_path: Path, context: bytes) -> None:
    make_key(tmp_path / "key")
    key = LocalKey(tmp_path / "key")
    with pytest.raises(DrError) as caught:
        key.unwrap(key.wrap(b"k" * 32, b"context"), context)
    assert caught.value.kind is DAMAGED
