"""What the checks of a scenario look with, wired: as the identity that restores."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache, partial

from dr.app.core import App
from dr.errors import NOT_FOUND, DrError
from dr.model.drills import Scenario
from dr.model.plans import PlannedRestore
from dr.run.looking import Copy, Eyes, Looker
from dr.vendors.asking import fetch, run
from dr.vendors.kubernetes_objects import NAMESPACES, Resource


def looker_of(app: App, scenario: Scenario) -> Looker:
    """Nothing is contacted before the first check."""
    served = cache(lambda: app.kubernetes.served())

    def get(copy: Copy, resource: str, namespace: str, name: str) -> Mapping[str, object] | None:
        where: Resource | None = served().get(resource)
        if where is None:
            raise DrError(NOT_FOUND, f"the cluster serves no {resource}")
        there = copy.namespace(namespace) if namespace else ""
        # a Namespace is called as its copy is
        return app.kubernetes.get(where, copy.namespace(name) if where == NAMESPACES else name, there)

    eyes = Eyes(
        command=_command,
        http=lambda url, seconds: fetch(url, seconds, app.settings.ca_file),
        count=partial(_count, app),
        kubernetes=get,
        copy_of=partial(copy_of, app),
    )
    return Looker(scenario.checks, eyes)


def _command(argv: Sequence[str], copy: Mapping[str, str], seconds: float) -> tuple[int, str]:
    return run(argv, {**os.environ, **copy}, seconds)


def _count(app: App, copy: Copy, asks: Mapping[str, object]) -> int:
    from dr.vendors.firestore import Firestore
    from dr.vendors.firestore_query import count_found

    where = asks["where"]
    assert isinstance(where, list)
    api = Firestore(app.google)
    return count_found(
        api, copy.project, copy.database, str(asks["collection"]), group=bool(asks["group"]), where=where
    )


def copy_of(app: App, item: PlannedRestore) -> Copy:
    """The configuration has namespaces of its own beside those of the cluster's copy."""
    from dr.components.cluster.names import mapped
    from dr.components.config.targets import spaces_for

    def there(name: str) -> str:
        spaces = spaces_for(item.target, (name,)) if item.source.component == "config" else mapped(item.target, (name,))
        return spaces[name]

    return Copy(item, there, _namespaces(app, item))


def _namespaces(app: App, item: PlannedRestore) -> Sequence[str]:
    """Those of the source that the table names."""
    spec = next((spec for spec in app.specs() if spec.id == item.source), None)
    named = spec.options.get("namespaces", []) if spec else []
    assert isinstance(named, list)
    return [str(name) for name in named]
