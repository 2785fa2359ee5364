"""A point is kept only as long as its objects are locked: what is loose is named."""

from __future__ import annotations

from dataclasses import replace

from dr.app.verification import locks
from dr.stores.memory import MemoryStore
from tests.unit.fakes import artefact, manifest


def test_what_is_not_locked_long_enough_is_named() -> None:
    vault, point = MemoryStore(), replace(manifest(), artefacts=(artefact("data/a"), artefact("data/b")))
    for name in ("data/a", "data/b", point.name):
        vault.put(name, b"x")
    loose = locks(vault, point)
    assert [check.name for check in loose] == [point.name, "data/a", "data/b"]
    assert not any(check.passed for check in loose)
    for name in ("data/a", point.name):
        info = vault.stat(name)
        assert info is not None
        vault.retain(name, generation=info.generation, until=point.retain_until)
    (left,) = locks(vault, point)
    assert (left.name, left.passed) == ("data/b", False)
    info = vault.stat("data/b")
    assert info is not None
    vault.retain("data/b", generation=info.generation, until=point.retain_until)
    assert [check.passed for check in locks(vault, point)] == [True]
