"""With any one permission of the shipped roles taken away, `dr check` names it. The lab's tests do the same on real parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from dr.components.appdata.source import FirestoreSource
from dr.model.findings import Level
from dr.model.points import Check
from dr.plan.permissions import (
    CAPTURE,
    FORBIDDEN,
    GRANTS,
    PRUNE,
    RESTORE,
    Where,
    permissions,
    rights_of,
    source_rules,
)
from dr.run.checking import check_rights
from dr.stores.memory import MemoryStore
from tests.unit.fakes import DATABASE, FakeClock
from tests.unit.firestore_fake import PROJECT, FakeFirestore
from tests.unit.test_velero_capture import Run
from tests.unit.velero_world import spec, world


class Limited(MemoryStore):
    """A store whose caller lacks one permission."""

    def __init__(self, lacks: str) -> None:
        super().__init__()
        self._lacks = lacks

    def missing_permissions(self, wanted: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in wanted if name == self._lacks)


def failed(checks: Iterable[Check]) -> str:
    return "; ".join(f"{check.name}: {check.detail}" for check in checks if not check.passed)


@pytest.mark.parametrize("right", rights_of(source_rules(spec())), ids=str)
def test_a_right_in_the_cluster_that_is_missing_is_named(right: object) -> None:
    here = world()
    here.kube.withheld.add(str(right))
    assert f"not allowed: {right}" in failed(Run(here).source.check())


@pytest.mark.parametrize("role", ["control", "appdata"])
@pytest.mark.parametrize("name", permissions(CAPTURE, Where.VAULT))
def test_a_permission_on_a_place_that_is_missing_is_named(role: str, name: str) -> None:
    findings = [f for f in check_rights("place", role, CAPTURE, Limited(name)) if f.level is Level.FAIL]
    assert [f"missing: {name}" in finding.detail for finding in findings] == [True]


@pytest.mark.parametrize("name", permissions(CAPTURE, Where.DATABASE))
def test_a_permission_on_the_databases_project_that_is_missing_is_named(name: str) -> None:
    clock = FakeClock()
    api = FakeFirestore(clock, {})
    api.add(DATABASE.name, {})
    api.withheld.add(name)
    one = type(spec())(DATABASE, spec().place, {"project": PROJECT, "database": DATABASE.name})
    source = FirestoreSource(one, api, clock, lambda url: MemoryStore())
    assert f"missing: {name}" in failed(source.check())


def test_who_writes_vaults_cannot_delete_and_who_deletes_cannot_write() -> None:
    everything = [name for grant in GRANTS if grant.identity == CAPTURE for name in grant.permissions]
    assert not [name for name in everything if name.endswith(".delete")]
    assert "storage.objects.create" not in permissions(PRUNE, Where.VAULT)
    for identity in (CAPTURE, RESTORE):
        assert not set(FORBIDDEN[identity]) & set(permissions(identity, Where.VAULT))
