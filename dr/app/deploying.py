"""What `dr schedules render` writes: the strategy, the settings as Pods need them, the cadences as `dr plan` derives them."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from dr.app.core import App
from dr.app.known import all_points, durations_of
from dr.plan.due import Schedule
from dr.plan.rows import schedules
from dr.scenarios import load_scenario, shipped
from dr.schedules.pods import Cluster
from dr.schedules.render import Order
from dr.settings import Settings

_OF_A_LAPTOP = (
    "apiVersion",
    "kind",
    "strategy",
    "credentials.",
    "kubernetes.",
    "cacheDir",
    "caFile",
    "serve.",
    "lease.",
)
_SECRET = ("notifications.", "deadman.url")
"""They come from the Secret dr-notifications."""
_HEAD = """\
# The settings of the Pods. Credentials come from Workload Identity, the cluster's from the service account;
# addresses of notifications from the Secret dr-notifications (DR_NOTIFICATIONS_SLACK, DR_DEADMAN_URL...).
"""


def order_of(app: App, cluster: Cluster, strategy_text: str, *, measured: bool) -> Order:
    """`measured`: cadences from the durations of the points in the vaults, as `dr plan` shows them; else from the table
    alone, so that the same table always gives the same files. Raises DrError."""
    return Order(
        strategy=app.strategy,
        schedules=cadences(app, measured=measured),
        scenarios=[load_scenario(name) for name in shipped()],
        config=config_files(app.settings, cluster, strategy_text),
        cluster=cluster,
    )


def cadences(app: App, *, measured: bool) -> tuple[Schedule, ...]:
    """Of every source that has one."""
    return schedules(app.strategy, durations_of(all_points(app)) if measured else {})


def config_files(settings: Settings, cluster: Cluster, strategy_text: str) -> Mapping[str, str]:
    """The ConfigMap's content; with `ca.pem` when the settings trust a CA of their own."""
    found = {"dr.yaml": pod_settings(settings, cluster), "strategy.yaml": strategy_text}
    return found | ({"ca.pem": settings.ca_file.read_text(encoding="utf-8")} if settings.ca_file else {})


def pod_settings(settings: Settings, cluster: Cluster) -> str:
    """A settings file without what belongs to the machine that rendered it."""
    document: dict[str, object] = {"apiVersion": "dr/v1", "kind": "Settings", "strategy": "strategy.yaml"}
    for name, text in settings.given.items():
        if not name.startswith((*_OF_A_LAPTOP, *_SECRET)):
            _set(document, name.split("."), text)
    if settings.ca_file:
        document["caFile"] = "ca.pem"
    document["lease"] = {"name": settings.lease.name or "dr", "namespace": cluster.namespace}
    return _HEAD + yaml.safe_dump(document, sort_keys=False)


def _set(document: dict[str, object], path: list[str], text: str) -> None:
    *groups, last = path
    for group in groups:
        inner = document.setdefault(group, {})
        assert isinstance(inner, dict)
        document = inner
    document[last] = text
