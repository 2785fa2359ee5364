"""The inspector names whatever is wrong with a backup in the vault (I1, I7)."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import islice

import pytest

from dr.components.cluster.inspector import VeleroInspector
from dr.components.cluster.layout import role_of
from dr.components.cluster.tarball import gunzip
from dr.errors import DAMAGED, DrError
from dr.model.points import Artefact
from dr.ports import Inspection
from dr.stores.memory import MemoryStore
from tests.unit.velero_world import START, WORLD, Made, item

BASE = "data/slot/1/backups/b/"
PVC = item("v1/PersistentVolumeClaim", "persistentvolumeclaims", "app", "data", spec={"volumeName": "pv-1"})
SKIPPED = {
    "pvcName": "data",
    "pvcNamespace": "app",
    "pvName": "pv-1",
    "skipped": True,
    "skippedReason": "no snapshotter;",
}


def stored(files: dict[str, bytes]) -> tuple[MemoryStore, list[Artefact]]:
    vault = MemoryStore("vault")
    artefacts = []
    for file, data in files.items():
        info = vault.put(BASE + file, data)
        artefacts.append(Artefact(info.name, role_of(file, "b"), info.size, info.crc32c, "", info.generation))
    return vault, artefacts


def inspect(files: dict[str, bytes], *excluded: str) -> Inspection:
    vault, artefacts = stored(files)
    return VeleroInspector().inspect(
        vault, artefacts, {"backup": "b", "uid": "uid-1", "excluded_volumes": list(excluded)}
    )


def faults(inspection: Inspection) -> dict[str, str]:
    return {check.name: check.detail for check in inspection.checks if not check.passed}


def test_a_whole_backup_passes_with_its_counts_and_hashes() -> None:
    found = inspect(Made("b").files())
    assert faults(found) == {}
    assert found.counts == {"items": len(WORLD), "errors": 0, "warnings": 0}
    assert all(len(one.sha256) == 64 and one.crc32c for one in found.artefacts)
    contents = next(one for one in found.artefacts if one.role == "velero/contents")
    assert contents.records == len(WORLD)


@pytest.mark.parametrize("file", [name for name in Made("b").files() if "podvolume" not in name])
def test_a_missing_artefact_fails_and_is_named_by_its_role(file: str) -> None:
    files = Made("b").files()
    del files[file]
    assert list(faults(inspect(files))) == [role_of(file, "b")]


@pytest.mark.parametrize("file", [name for name in Made("b").files() if name.endswith("gz")])
def test_a_truncated_artefact_fails_and_is_named(file: str) -> None:
    files = Made("b").files()
    for keep in (0, 1, len(files[file]) // 2, len(files[file]) - 1):
        assert file in str(faults(inspect({**files, file: files[file][:keep]}))), keep


def test_any_flipped_bit_of_any_artefact_is_detected_and_named() -> None:
    """I7: against the hashes of the manifest, which is how a point is verified."""
    files = Made("b").files()
    vault, artefacts = stored(files)
    details = {"backup": "b", "uid": "uid-1"}
    whole = VeleroInspector().inspect(vault, artefacts, details).artefacts
    chance = random.Random(7)
    for file, data in files.items():
        for _ in range(12):
            at = chance.randrange(len(data) * 8)
            bent = bytearray(data)
            bent[at // 8] ^= 1 << at % 8
            other, _ = stored({**files, file: bytes(bent)})
            found = VeleroInspector().inspect(other, [replace(one, generation=0) for one in whole], details)
            assert BASE + file in faults(found), f"bit {at} of {file}"


def test_a_tarball_cut_at_a_member_boundary_fails_although_gzip_is_whole() -> None:
    files = Made("b").files()
    plain = gzip.decompress(files["b.tar.gz"])
    for end in range(512, len(plain.rstrip(b"\0")) + 512, 512):
        cut = gzip.compress(plain[:end])
        assert "b.tar.gz" in str(faults(inspect({**files, "b.tar.gz": cut}))), end


def test_bytes_after_the_end_of_the_archive_fail() -> None:
    files = Made("b").files()
    assert "follow the end" in str(faults(inspect({**files, "b.tar.gz": files["b.tar.gz"] + b"x"})))
    longer = gzip.compress(gzip.decompress(files["b.tar.gz"]) + b"x" * 512)
    assert "follow the end" in str(faults(inspect({**files, "b.tar.gz": longer})))


def test_another_backups_tarball_with_other_objects_names_both_directions() -> None:
    other = Made("b", world=(*WORLD[:-1], item("v1/Pod", "pods", "app", "else")))
    files = {**Made("b").files(), "b.tar.gz": other.tarball()}
    said = faults(inspect(files))["items"]
    assert "1 missing: v1/Pod app/web-1" in said
    assert "1 not listed: v1/Pod app/else" in said


def test_another_backups_tarball_with_the_same_objects_is_told_by_its_time() -> None:
    earlier = Made("b", started=START - timedelta(hours=1))
    assert "another backup's" in faults(inspect({**Made("b").files(), "b.tar.gz": earlier.tarball()}))["archive"]


@pytest.mark.parametrize(
    ("bend", "check"),
    [
        (
            lambda files: files.update({"velero-backup.json": json.dumps(Made("b", "uid-2").metadata()).encode()}),
            "backup",
        ),
        (lambda files: files.update({"velero-backup.json": json.dumps(Made("c").metadata()).encode()}), "backup"),
        (
            lambda files: files.update(
                {"velero-backup.json": json.dumps(Made("b", phase="PartiallyFailed").metadata()).encode()}
            ),
            "backup",
        ),
        (lambda files: files.update({"b-logs.gz": Made("c").files()["c-logs.gz"]}), "logs"),
        (lambda files: files.update({"b-results.gz": gzip.compress(b'{"errors": {"velero": ["x"]}}')}), "results"),
        (
            lambda files: files.update(
                {
                    "b-itemoperations.json.gz": gzip.compress(
                        b'[{"spec": {"backupName": "b"}, "status": {"phase": "Failed"}}]'
                    )
                }
            ),
            "operations",
        ),
        (lambda files: files.update({"b-resource-list.json.gz": gzip.compress(b"{}")}), "items"),
    ],
)
def test_artefacts_that_do_not_belong_together_fail(bend: Callable[[dict[str, bytes]], None], check: str) -> None:
    files = Made("b").files()
    bend(files)
    assert list(faults(inspect(files))) == [check]


def test_an_item_that_is_not_where_its_path_says_fails() -> None:
    (_, body), (path, _) = WORLD[1], WORLD[2]
    files = Made("b", world=(*WORLD[:2], (path, body))).files()
    assert "holds ConfigMap app/config" in str(faults(inspect(files)))


def test_a_skipped_volume_fails_the_point_unless_the_strategy_excludes_it() -> None:
    files = Made("b", world=(*WORLD, PVC), volumes=[SKIPPED]).files()
    assert "app/data (no snapshotter)" in faults(inspect(files))["volumes"]
    assert faults(inspect(files, "app/*")) == {}
    assert "volumes" in faults(inspect(files, "other/*"))


def test_a_bound_claim_that_velero_never_met_fails_the_point() -> None:
    files = Made("b", world=(*WORLD, PVC)).files()
    assert "app/data (not in the volume information)" in faults(inspect(files))["volumes"]
    unbound = item("v1/PersistentVolumeClaim", "persistentvolumeclaims", "app", "data", spec={})
    assert faults(inspect(Made("b", world=(*WORLD, unbound)).files())) == {}


@pytest.mark.parametrize(
    ("info", "captured"),
    [
        ({"backupMethod": "CSISnapshot", "result": "succeeded"}, True),
        ({"backupMethod": "CSISnapshot", "result": "failed"}, False),
        (
            {
                "backupMethod": "CSISnapshot",
                "result": "succeeded",
                "snapshotDataMoved": True,
                "snapshotDataMovementInfo": {"Phase": "Canceled"},
            },
            False,
        ),
        ({"backupMethod": "PodVolumeBackup", "result": "succeeded", "pvbInfo": {"Phase": "Completed"}}, True),
        ({"backupMethod": "NativeSnapshot", "nativeSnapshotInfo": {"Phase": "failed"}}, False),
        ({}, False),
    ],
)
def test_only_a_finished_capture_of_a_volume_counts(info: dict[str, object], captured: bool) -> None:
    volume = {"pvcName": "data", "pvcNamespace": "app", "pvName": "pv-1", **info}
    files = Made("b", world=(*WORLD, PVC), volumes=[volume]).files()
    assert ("volumes" not in faults(inspect(files))) is captured


@pytest.mark.parametrize("tail", [b"\n", b"x" * 100_000, gzip.compress(b"another")])
@pytest.mark.parametrize("size", [1, 3 << 20])
def test_what_follows_the_end_of_a_large_archive_is_an_error_and_no_endless_reading(size: int, tail: bytes) -> None:
    data = gzip.compress(random.Random(1).randbytes(size // 2).hex().encode()) + tail
    with pytest.raises(DrError) as error:
        list(islice(gunzip([data]), 100))
    assert error.value.kind is DAMAGED


def test_a_backup_of_nothing_is_none_however_rightly_it_is_counted() -> None:
    assert "a backup of nothing" in faults(inspect(Made("b", world=()).files()))["items"]
