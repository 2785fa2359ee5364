"""The writers' record, the world's documents, and what damage does: all without a server."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.energent import values
from lab.energent.configuration import acknowledged
from lab.energent.damage import altered, artefact_names
from lab.energent.documents import NEAR_LIMIT, Size, world
from lab.energent.manifests import Platform, cluster_objects, path_of, platform_objects, tenant_objects
from lab.energent.store import BATCH, BATCH_BYTES, size_of
from lab.energent.witness import Acknowledged, Witness
from lab.energent.world import batches
from lab.energent.writer import Change, Refused, Unknown, Writer
from lab.node.api import Manifest
from lab.state import LabError


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_numbered_on_over_runs_and_a_torn_one_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    with Witness(path) as witness:
        witness.record([Acknowledged("s", "a", "1"), Acknowledged("s", "ключ", "")])
    with path.open("ab") as file:
        file.write(b'{"acked_at": "20')
    with Witness(path) as witness:
        witness.record([Acknowledged("s", "c", "2")])
    assert [(line["seq"], line["path"], line["sha256"]) for line in lines(path)] == [
        (1, "a", "1"),
        (2, "ключ", ""),
        (3, "c", "2"),
    ]


def test_canonical_form_is_the_contract() -> None:
    fields = {"b": values.integer(-1), "a": values.mapping({"z": values.double(float("nan")), "ä": values.array()})}
    text = '{"a":{"mapValue":{"fields":{"z":{"doubleValue":"NaN"},"ä":{"arrayValue":{}}}}},"b":{"integerValue":"-1"}}'
    assert values.fingerprint(fields) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(("text", "canonical"), [("a.120000Z", "a.12Z"), ("a.000Z", "a"), ("aZ", "a")])
def test_timestamps_lose_trailing_zeros(text: str, canonical: str) -> None:
    assert values.trim(text) == canonical.removesuffix("Z") + "Z"


def test_documents_survive_the_way_to_grpc_and_back() -> None:
    root = "projects/p/databases/d"
    for put in world(Size(3, 80)):
        assert put.fields is not None
        back = {name: values.from_message(values.to_message(value, root)) for name, value in put.fields.items()}
        assert values.fingerprint(back) == values.fingerprint(put.fields), put.path


def test_the_world_is_the_same_for_a_seed_and_as_large_as_asked() -> None:
    one, two, other = (list(world(Size(4, 100, seed))) for seed in (1, 1, 2))
    assert one == two != other
    assert len(one) == 101
    assert len({put.path for put in one}) == 101
    assert one[-1].path == "meta/platform"
    kinds = {kind for put in one for value in (put.fields or {}).values() for kind in value}
    assert kinds == {f"{kind}Value" for kind in KINDS}


KINDS = [
    "null",
    "boolean",
    "integer",
    "double",
    "timestamp",
    "string",
    "bytes",
    "reference",
    "geoPoint",
    "array",
    "map",
]


def test_batches_keep_both_limits_and_lose_nothing() -> None:
    puts = list(world(Size(3, 1500)))
    made = list(batches(puts))
    assert [put for batch in made for put in batch] == puts
    assert max(map(len, made)) <= BATCH
    assert max(sum(map(size_of, batch)) for batch in made) <= BATCH_BYTES
    assert max(map(size_of, puts)) > NEAR_LIMIT


PLATFORM = Platform("proj", "region", "db", "127.0.0.1:1", b"{}", "PEM\nPEM\n")


def test_every_object_has_a_path_and_no_two_share_one() -> None:
    objects = [*cluster_objects(), *platform_objects(PLATFORM), *tenant_objects(1), *tenant_objects(2)]
    paths = [path_of(manifest) for manifest in objects]
    assert len(set(paths)) == len(paths)
    assert "/apis/apps/v1/namespaces/energent-ai/deployments/energent-platform" in paths
    config = next(entry for entry in objects if entry["metadata"]["name"] == "energent-platform-config")
    assert (config["data"]["FIRESTORE_DATABASE"], config["data"]["FIRESTORE_PROJECT"]) == ("db", "proj")


def test_a_configmap_hashes_without_what_the_cluster_adds_and_belongs_to_two_rows() -> None:
    metadata = {"namespace": "n", "name": "c"}
    plain: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}
    stored = {**plain, "metadata": {**metadata, "uid": "x", "resourceVersion": "7"}}
    assert acknowledged(plain) == acknowledged(stored)
    assert [write.path for write in acknowledged(plain)] == ["n/configmaps/c", "n/ConfigMap/c"]
    assert acknowledged({**plain, "immutable": True}) != acknowledged(plain)
    assert {write.sha256 for write in acknowledged(plain, deleted=True)} == {""}


class Scripted:
    """Changes whose sending goes as the script says; the last step stops the writer."""

    def __init__(self, script: list[type[Exception] | None], stop: threading.Event) -> None:
        self.script, self.stop, self.made = script, stop, 0

    def next(self) -> Change:
        self.made += 1
        return Change(self._send, [Acknowledged("s", f"p{self.made}", "h")])

    def _send(self) -> None:
        step = self.script.pop(0)
        if not self.script:
            self.stop.set()
        if step is not None:
            raise step("as scripted")


def write(tmp_path: Path, script: list[type[Exception] | None]) -> tuple[list[object], Writer]:
    stop, path = threading.Event(), tmp_path / "w.jsonl"
    with Witness(path) as witness:
        changes: Callable[..., object] | Scripted = Scripted(script, stop)
        writer = Writer(changes, witness, 10_000, stop, threading.Event())  # type: ignore[arg-type]
        writer.run()
    return [line["path"] for line in lines(path)], writer


def test_only_what_was_acknowledged_is_recorded(tmp_path: Path) -> None:
    paths, writer = write(tmp_path, [None, Refused, None])
    assert paths == ["p1", "p3"]
    assert (writer.written, writer.errors) == (2, 1)


def test_a_write_in_doubt_is_sent_again_until_it_is_answered(tmp_path: Path) -> None:
    paths, writer = write(tmp_path, [Unknown, Unknown, None, None])
    assert paths == ["p1", "p2"]
    assert writer.errors == 2


def test_a_write_in_doubt_at_the_stop_is_named_not_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths, _ = write(tmp_path, [None, Unknown])
    assert paths == ["p1"]
    assert "in doubt when stopped: p2" in capsys.readouterr().err


def test_damage_changes_one_bit_or_halves() -> None:
    content = bytes(range(10))
    flipped = altered(content, "flip")
    assert sum(bin(a ^ b).count("1") for a, b in zip(content, flipped, strict=True)) == 1
    assert altered(content, "truncate") == content[:5]


def test_artefacts_are_found_wherever_the_manifest_keeps_them() -> None:
    assert artefact_names({"items": [{"spec": {"artefacts": [{"name": "data/a"}, {"name": "data/b"}]}}]}) == [
        "data/a",
        "data/b",
    ]
    with pytest.raises(LabError, match="no artefact"):
        artefact_names({"spec": {}})
