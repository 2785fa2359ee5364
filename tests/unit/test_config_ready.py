"""What a restore of configuration needs of a cluster, and what is said when it is not there."""

from __future__ import annotations

from collections.abc import Mapping

from dr.components.config.ready import check_ready
from dr.errors import UNREACHABLE, DrError
from dr.vendors.kubernetes_objects import Resource
from tests.unit.config_world import FakeApi, World, spec


class Restricted(FakeApi):
    """One verb on one resource is not allowed."""

    refused = ("create", "secrets")

    def allowed(self, verb: str, resource: Resource, namespace: str = "") -> bool:
        return (verb, str(resource)) != self.refused


class Silent(FakeApi):
    def served(self) -> Mapping[str, Resource]:
        raise DrError(UNREACHABLE, "the API server does not answer")


class New(FakeApi):
    """A cluster without the custom resources."""

    def served(self) -> Mapping[str, Resource]:
        return {name: found for name, found in super().served().items() if name == "configmaps"}


def test_everything_may_be_applied() -> None:
    assert all(check.passed for check in check_ready(spec(), World().api))


def test_a_missing_right_is_named() -> None:
    failed = [check for check in check_ready(spec(), Restricted()) if not check.passed]
    assert [check.detail for check in failed] == ["not allowed: create secrets"]


def test_kinds_that_the_restore_of_the_cluster_brings_are_no_failure() -> None:
    kinds, rights = check_ready(spec(), New())
    assert kinds.passed
    assert "secrets" in kinds.detail
    assert rights.passed


def test_a_cluster_that_does_not_answer_is_a_failed_check() -> None:
    (only,) = check_ready(spec(), Silent())
    assert (only.passed, only.detail) == (False, "the API server does not answer")
