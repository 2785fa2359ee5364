"""From a laptop with nothing but credentials for the buckets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from dr.app.core import App
from dr.components.cluster.bootstrap import Install, install, remembered
from dr.errors import NOT_FOUND, DrError
from dr.model.strategy import Strategy
from dr.record.catalogue import list_points, read_point
from dr.record.layout import check_format
from dr.record.used import last_used
from dr.settings import load_settings


def last_files(control: str, environ: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """`strategy.yaml` and `dr.yaml` as captures last used them. Read as the restore identity, or as whoever the environment
    says. Raises DrError NOT_FOUND, NOT_AUTHORISED, UNREACHABLE, DAMAGED, CONFIGURATION."""
    settings = load_settings(
        None, environ if environ is not None else os.environ, {"control": control, "scope": "production"}
    )
    store = App(settings, Strategy("", ()), "restore").store(settings.control)
    check_format(store, "control")
    kept = last_used(store)
    return {"strategy.yaml": kept.strategy, "dr.yaml": kept.settings}


def velero_of_points(app: App, bucket: str = "", account: str = "") -> Install:
    """The Velero that the newest cluster point remembers. `bucket` and `account` (a Google service account) replace what it
    had. Raises DrError NOT_FOUND when no bucket is known, and as listing the vault does."""
    names = app.settings.velero
    try:
        return remembered(_newest_details(app), names.namespace, names.storage_location, bucket, account)
    except ValueError as error:
        raise DrError(NOT_FOUND, str(error), hint="name the bucket that Velero is to use: --bucket") from None


def _newest_details(app: App) -> Mapping[str, object]:
    """Of the newest point made by Velero; empty without one."""
    components = {spec.id.component for spec in app.strategy.sources() if spec.id.kind == "velero"}
    found = [(app.vault(name), point) for name in sorted(components) for point in list_points(app.vault(name))]
    if not found:
        return {}
    vault, newest = max(found, key=lambda pair: pair[1].as_of)
    return read_point(vault, newest).manifest.details


def set_up_velero(app: App, wanted: Install) -> Iterator[str]:
    """In the cluster that this identity reaches; yields what was done. Raises as `bootstrap.install`."""
    return install(app.kubernetes, wanted, app.clock)
