"""Genuine exports of the emulator decode to exactly what the API returns, for every value type that Firestore has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from google.cloud.firestore_v1.vector import Vector

from dr.components.appdata.canonical import canonical_sha256
from dr.components.appdata.contents import database_items
from dr.components.appdata.exportfile import read_export, read_output
from dr.components.appdata.inspector import FirestoreExportInspector
from dr.components.appdata.values import rest_fields
from dr.errors import DAMAGED, NOT_FOUND, DrError
from dr.model.points import Artefact
from dr.stores.memory import MemoryStore
from tests.lab.firestore_emulator import PROJECT, Emulator, running_emulator

pytestmark = pytest.mark.lab
DATABASE = "energent-metadata-production"
BIG = 6_000


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(tmp_path_factory.mktemp("emulator") / "log") as running:
        yield running


@pytest.fixture
def client(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], firestore.Client]:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", emulator.address)
    return lambda database: firestore.Client(project=PROJECT, database=database, credentials=AnonymousCredentials())


def every_type(db: firestore.Client) -> Mapping[str, Mapping[str, object]]:
    point, inf = firestore.GeoPoint, float("inf")
    reference, moment = db.document("a/b/c/d"), datetime(2025, 5, 28, 10, 0, 0, 123456, UTC)
    everything = {"n": None, "t": moment, "b": b"q", "g": point(3, 4), "r": reference, "f": 1.5, "e": [], "m": {}}
    return {
        "t/null": {"v": None},
        "t/bool": {"t": True, "f": False},
        "t/int": {"zero": 0, "minus": -1, "most": 2**63 - 1, "least": -(2**63)},
        "t/double": {"nan": float("nan"), "inf": inf, "minus": -inf, "nz": -0.0, "tiny": 5e-324, "whole": 3.0},
        "t/time": {
            "a": moment,
            "old": datetime(1, 1, 1, tzinfo=UTC),
            "new": datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
        },
        "t/string": {"empty": "", "unicode": 'hé 😀 "\\ \u2028', "long": "x" * 3000, "controls": "\x00\x1f\x7f"},
        "t/bytes": {"empty": b"", "all": bytes(range(256)), "long": b"y" * 5000},
        "t/ref": {"r": reference, "numbered": db.document("a/__id77__"), "top": db.document("a/b")},
        "t/geo": {"g": point(1.5, -2.5), "zero": point(0.0, 0.0), "nz": point(-0.0, 0.0)},
        "t/array": {
            "empty": [],
            "one": [1],
            "null": [None],
            "mixed": [1, "x", None, 2.5, True, b"b", moment, point(1, 2), reference],
        },
        "t/nested": {"maps": [{"a": [1, 2]}, {}, {"b": {"c": [{"d": []}]}}], "all": everything, "empty": {}},
        "t/vector": {"v": Vector([1.0, -2.5]), "m": {"v": Vector([0.0])}},
        "t/names": {"a.b": 1, "`": 2, "é": 3, "x y": 4},
        "t/empty": {},
        "t/__id77__": {"v": 1},
        "t/uni é-😀": {"v": 1},
        "a/missing/sub/child/more/deep": {"v": "below documents that do not exist"},
        "t/big": {"v": "z" * 900_000},
    }


def store_of(files: Mapping[str, Path]) -> tuple[MemoryStore, list[Artefact]]:
    store = MemoryStore()
    infos = [store.put(name, path.read_bytes()) for name, path in sorted(files.items())]
    return store, [Artefact(info.name, "firestore/x", info.size, info.crc32c, "", info.generation) for info in infos]


@pytest.mark.parametrize("database", [DATABASE, "(default)"])
def test_every_value_type_decodes_to_what_the_api_returns(
    emulator: Emulator, client: Callable[[str], firestore.Client], tmp_path: Path, database: str
) -> None:
    db = client(database)
    for path, fields in every_type(db).items():
        db.document(path).set(dict(fields))
    files = emulator.export(database, tmp_path, "every-type")
    store, artefacts = store_of(files)
    exported = {d.path: d for d in read_export(store.stream, [artefact.name for artefact in artefacts])}
    living = {path: rest_fields(fields) for path, fields in emulator.api.documents(PROJECT, database)}
    assert exported.keys() == living.keys() == every_type(db).keys()
    for path, fields in living.items():
        # compared as hashes: a NaN would differ from itself, 0.0 would equal -0.0
        assert canonical_sha256(exported[path].fields) == canonical_sha256(fields), (
            path,
            exported[path].fields,
            fields,
        )
        assert exported[path].database == f"projects/{PROJECT}/databases/{database}"
    found = FirestoreExportInspector().inspect(store, artefacts, {"project": PROJECT, "database": database})
    assert [check for check in found.checks if not check.passed] == []
    assert found.counts == {"documents": len(living)}


def test_an_export_in_several_outputs_and_its_damages(
    emulator: Emulator, client: Callable[[str], firestore.Client], tmp_path: Path
) -> None:
    """A genuine export larger than one output: read whole, and never without one output or its last byte."""
    db = client("large")
    for start in range(0, BIG, 400):
        batch = db.batch()
        for n in range(start, start + 400):
            batch.set(db.document(f"c/{n:05d}"), {"n": n})
        batch.commit()
    store, artefacts = store_of(emulator.export("large", tmp_path, "large"))
    names = [artefact.name for artefact in artefacts]
    outputs = [name for name in names if "output-" in name]
    assert len(outputs) > 1
    assert sum(1 for _ in read_export(store.stream, names)) == BIG
    for call in (
        lambda: list(read_export(store.stream, [name for name in names if name != outputs[0]])),
        lambda: list(read_output("o", [store.get(outputs[0])[:-1]])),
    ):
        with pytest.raises(DrError, check=lambda error: error.kind is DAMAGED):
            call()


def test_documents_are_read_at_an_instant_and_counted(
    emulator: Emulator, client: Callable[[str], firestore.Client]
) -> None:
    db = client("past")
    written = db.document("c/a").set({"v": 1})
    db.document("c/a/d/b").set({"v": 2})
    at = written.update_time
    before = dict(database_items(emulator.api, PROJECT, "past", at))
    assert list(before) == ["c/a"]
    assert list(dict(database_items(emulator.api, PROJECT, "past"))) == ["c/a", "c/a/d/b"]
    assert emulator.api.count(PROJECT, "past") == 2


def test_a_silent_endpoint_is_one_clear_error() -> None:
    with pytest.raises(DrError) as caught:
        list(Emulator("127.0.0.1:1").api.documents(PROJECT, "x"))
    assert caught.value.temporary
    assert caught.value.message.startswith("cannot read the documents of x:")
    assert caught.value.kind is not NOT_FOUND
