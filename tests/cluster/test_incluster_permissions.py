"""With any one permission of capture taken away, on the real API server and the lab's Google services, `dr check` names it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dr.app.checks import check
from dr.app.core import App, open_app
from dr.model.findings import Level
from dr.plan.permissions import CAPTURE, GRANTS, Rule, Where, rights_of
from lab.grants import APPDATA_VAULT, CONTROL_BUCKET, KUBERNETES, PLACES, VELERO_BUCKET, rbac_manifests
from lab.iam import Iam
from lab.kube import Kube
from lab.stage import GRANULARITY_S, lab_strategy
from lab.state import Lab

pytestmark = pytest.mark.cluster

ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles/dr-lab-capture"
SOON_S = 10
"""The authoriser watches roles: a change counts within moments."""
ONE_OF_MANY = {
    Where.VAULT: f"buckets/{APPDATA_VAULT}",
    Where.CONTROL: f"buckets/{CONTROL_BUCKET}",
    Where.VELERO: f"buckets/{VELERO_BUCKET}",
}
RULES = KUBERNETES["capture"]
GOOGLE = [
    (grant.where, name)
    for grant in GRANTS
    if grant.identity == CAPTURE and PLACES[grant.where]
    for name in grant.permissions
]


@pytest.fixture(scope="module")
def app(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> App:
    """As the service runs it: with a Lease; with every source that the lab's table declares."""
    home = tmp_path_factory.mktemp("permissions")
    (home / "strategy.yaml").write_text(_present())
    opened = open_app(str(lab.settings), str(home / "strategy.yaml"), "capture", environ={})
    lease = replace(opened.settings.lease, name="dr", namespace="kube-system")
    # capture alone: what the other identities may is their own affair
    alone = replace(opened.settings.credentials, restore=None, prune=None)
    return replace(opened, settings=replace(opened.settings, lease=lease, credentials=alone, cache_dir=Path(home)))


def _present() -> str:
    """The shipped table, of namespaces that every cluster has."""
    table = yaml.safe_load(lab_strategy(GRANULARITY_S))
    for source in (one for row in table["objectives"] for one in row.get("sources", ())):
        if source["kind"] in ("velero", "kubernetes"):
            source["options"] |= {"namespaces": ["kube-system"]}
    return yaml.safe_dump(table)


def failing(app: App) -> str:
    """One line for each finding that failed."""
    return "\n".join(f"{f.group} {f.name}: {f.detail}" for f in check(app, ()) if f.level is Level.FAIL)


@contextmanager
def without(lab: Lab, gone: Rule) -> Iterator[None]:
    """The capture role without one rule; other rules that give the same rights lose them too."""
    admin = Kube(lab.kubeconfigs["admin"])
    lost = set(rights_of([gone]))
    role: dict[str, Any] = dict(next(one for one in rbac_manifests() if one["metadata"]["name"] == "dr-lab-capture"))  # type: ignore[index]
    kept = [right for right in rights_of(RULES) if right not in lost and _key(right) not in {_key(one) for one in lost}]
    rules = [{"apiGroups": [r.group], "resources": [r.plural], "verbs": [r.verb]} for r in kept]
    admin.request("PUT", ROLE, {**role, "rules": rules})
    try:
        yield
    finally:
        admin.request("PUT", ROLE, role)


def _key(right: Any) -> tuple[str, str, str]:
    return right.verb, right.group, right.plural


def eventually(app: App, words: str) -> str:
    end = time.monotonic() + SOON_S
    while words not in (found := failing(app)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def test_with_everything_that_is_shipped_nothing_is_missing(app: App) -> None:
    assert "missing:" not in failing(app)
    assert "not allowed" not in failing(app)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.groups}: {rule.resources.split()[0]}")
def test_a_rule_of_the_cluster_role_that_is_missing_is_named(lab: Lab, app: App, rule: Rule) -> None:
    if rule.groups.endswith(".fluxcd.io"):
        pytest.skip("the lab serves no Flux, and what is not served is not asked for")
    with without(lab, rule):
        wanted = [str(right) for right in rights_of([rule])]
        found = eventually(app, wanted[-1])
    assert [right for right in wanted if right not in found] == []


@pytest.mark.parametrize(("where", "name"), GOOGLE, ids=lambda value: str(value))
def test_a_google_permission_that_is_missing_is_named(lab: Lab, app: App, where: Where, name: str) -> None:
    iam = Iam.open(lab.directory)
    resource = ONE_OF_MANY.get(where, PLACES[where][0])
    iam.revoke("capture", name, resource)
    try:
        found = eventually(app, name)
    finally:
        iam.grant("capture", (name,), resource)
    assert name in found, f"{where} {resource}"
