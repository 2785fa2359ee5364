"""The buckets are the database: a listing gives the catalogue, and the manifests prove it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dr.errors import CONFIGURATION, DAMAGED, NEWER_FORMAT, NOT_FOUND, UNREACHABLE, DrError
from dr.model.ids import Slot
from dr.model.points import Artefact, Check, PointManifest, PointSummary
from dr.model.strategy import FailureDomain
from dr.ports import Draft, Inspection
from dr.record.cache import Cached, load, save
from dr.record.catalogue import find_point, list_points, load_pinned, read_point, rebuild
from dr.record.codec import encode
from dr.record.layout import check_format, ensure_format
from dr.record.summary import metadata_of
from dr.record.verify import against_draft, against_manifest, failures
from dr.stores.faults import Action, Fault, Faults, FaultyStore
from dr.stores.memory import MemoryStore
from tests.unit.record_fakes import DATABASE, NOON

PART = Artefact("data/x/1/one", "fake/part", 3, "AAAAAA==", "ab" * 32, 7, 2)


def manifest(hour: int = 0) -> PointManifest:
    due = NOON + timedelta(hours=hour)
    return PointManifest(
        slot=Slot(DATABASE, due),
        epoch=1,
        method="fake",
        as_of=due + timedelta(microseconds=5),
        started=due,
        committed=due + timedelta(minutes=1),
        artefacts=(PART,),
        counts={"documents": 2},
        checks=(Check("x", True, "fine"),),
        survives=(FailureDomain.LOGICAL, FailureDomain.SOURCE),
        retain_until=due + timedelta(days=90),
        tool_version="1",
        details={"nested": [1, {"a": None}]},
    )


@pytest.fixture
def vault() -> MemoryStore:
    store = MemoryStore("vault")
    for hour in (30, 0, 2):
        point = manifest(hour)
        store.put(point.name, encode(point), metadata=metadata_of(point))
    store.put("data/x/1/one", b"abc")
    return store


def test_a_listing_is_enough(vault: MemoryStore) -> None:
    faults = Faults()
    points = list_points(FaultyStore(vault, faults))
    assert [point.slot.due for point in points] == [NOON + timedelta(hours=hour) for hour in (0, 2, 30)]
    assert faults.log == [("list", "points/")]
    assert [point.slot.due.day for point in list_points(vault, prefix="2025/05/29")] == [29]
    first = points[0]
    assert (first.as_of, first.size, first.survives) == (manifest().as_of, 3, manifest().survives)


@pytest.mark.parametrize("metadata", [{}, {"dr-format": "1"}, {"dr-format": "9"}])
def test_where_the_listing_tells_nothing_the_manifest_is_read(metadata: dict[str, str]) -> None:
    vault = MemoryStore()
    vault.put(manifest().name, encode(manifest()), metadata=metadata)
    (point,) = list_points(vault)
    assert point.as_of == manifest().as_of
    assert point == read_point(vault, point).summary


def test_rebuilding_proves_the_listing(vault: MemoryStore) -> None:
    rebuilt = rebuild(vault)
    assert rebuilt.points == list_points(vault)
    assert rebuilt.differences == rebuilt.damaged == ()


def test_rebuilding_names_what_differs_and_what_is_damaged(vault: MemoryStore) -> None:
    lying = manifest(5)
    vault.put(lying.name, encode(lying), metadata={**metadata_of(lying), "dr-size": "999"})
    vault.corrupt(manifest(2).name, b"{}")
    rebuilt = rebuild(vault)
    assert len(rebuilt.points) == 3
    assert [lying.name in text and "999" in text for text in rebuilt.differences] == [True]
    assert [manifest(2).name in text for text in rebuilt.damaged] == [True]


def test_an_unreachable_vault_is_not_a_damaged_one(vault: MemoryStore) -> None:
    broken = FaultyStore(vault, Faults((Fault(Action.ERROR, "get", kind=UNREACHABLE),)))
    with pytest.raises(DrError) as caught:
        rebuild(broken)
    assert caught.value.kind is UNREACHABLE


def test_a_manifest_is_pinned(vault: MemoryStore) -> None:
    point = find_point(vault, manifest().name)
    assert load_pinned(vault, point.ref) == manifest()
    with pytest.raises(DrError) as caught:
        load_pinned(vault, replace(point.ref, sha256="0" * 64))
    assert caught.value.kind is DAMAGED
    with pytest.raises(DrError) as caught:
        load_pinned(vault, replace(point.ref, generation=99))
    assert caught.value.kind is NOT_FOUND


def test_a_swapped_manifest_is_noticed(vault: MemoryStore) -> None:
    """I7: whole, but under another point's name."""
    name = manifest(7).name
    vault.put(name, encode(manifest(0)), metadata=metadata_of(manifest(7)))
    with pytest.raises(DrError, match="holds the manifest of") as caught:
        find_point(vault, name)
    assert caught.value.kind is DAMAGED


def test_the_cache_gives_back_what_was_listed(vault: MemoryStore, tmp_path: Path) -> None:
    cached = Cached(NOON, {vault.url: list_points(vault), "gs://empty": ()})
    save(tmp_path / "cache" / "catalogue.json", cached)
    assert load(tmp_path / "cache" / "catalogue.json") == cached


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"format":99}', b"\xff", b'{"format":2,"listed":1,"vaults":3}']
)
def test_a_cache_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "catalogue.json"
    assert load(path) is None
    path.write_bytes(content)
    assert load(path) is None


def test_a_repository_says_its_format_and_role() -> None:
    store = MemoryStore()
    ensure_format(store, "vault")
    ensure_format(store, "vault")
    check_format(store, "vault")
    for role, content, kind in (
        ("control", None, CONFIGURATION),
        ("vault", b'{"format":2,"kind":"repository","role":"vault"}', NEWER_FORMAT),
        ("vault", b'{"format":1,"kind":"repository"}', DAMAGED),
        ("vault", b"", DAMAGED),
    ):
        if content is not None:
            store.put("format.json", content, if_generation=None)
        with pytest.raises(DrError) as caught:
            ensure_format(store, role)
        assert caught.value.kind is kind


FOUND = Inspection((PART,), {"documents": 2}, (Check("decoded", True, "2"),))
DRAFT = Draft("fake", NOON, (replace(PART, sha256="", records=None),), {"documents": 2}, {})


def test_what_is_promised_and_found_passes() -> None:
    assert all(check.passed for check in against_draft(DRAFT, FOUND))
    assert all(check.passed for check in against_manifest(manifest(), FOUND))


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (replace(FOUND, artefacts=()), PART.name),
        (replace(FOUND, artefacts=(replace(PART, size=2),)), PART.name),
        (replace(FOUND, artefacts=(replace(PART, crc32c="x"),)), PART.name),
        (replace(FOUND, artefacts=(replace(PART, generation=8),)), PART.name),
        (replace(FOUND, artefacts=(replace(PART, sha256=""),)), PART.name),
        (replace(FOUND, artefacts=(PART, replace(PART, name="more"))), "more"),
        (replace(FOUND, counts={}), "documents"),
        (replace(FOUND, counts={"documents": 3}), "documents"),
        (replace(FOUND, checks=(Check("decoded", False, "item 7"),)), "item 7"),
    ],
)
def test_what_differs_is_named(found: Inspection, named: str) -> None:
    """I1, I7."""
    for checks in (against_draft(DRAFT, found), against_manifest(manifest(), found)):
        assert not all(check.passed for check in checks)
        assert named in failures(checks)


def test_a_point_without_artefacts_is_none() -> None:
    nothing = replace(DRAFT, artefacts=(), counts={})
    assert not all(check.passed for check in against_draft(nothing, Inspection((), {}, ())))


def test_only_what_the_manifest_holds_is_compared_strictly() -> None:
    other = replace(FOUND, artefacts=(replace(PART, sha256="cd" * 32, records=3),))
    assert all(check.passed for check in against_draft(DRAFT, other))
    assert PART.name in failures(against_manifest(manifest(), other))


def test_every_summary_field_is_compared(vault: MemoryStore) -> None:
    from dr.record.summary import differences

    (first, *_) = list_points(vault)
    assert isinstance(first, PointSummary)
    assert differences(first, first) == ()
    assert len(differences(replace(first, size=1, method="x"), first)) == 2
