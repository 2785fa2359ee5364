"""Everything that `dr check` looks at, wired: places by identity, sources, the table, keys, the Lease, who is told, the cluster
that `dr` runs in."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from dr.app.core import App, Role
from dr.app.known import all_points
from dr.app.overview import planned_rows
from dr.errors import DrError
from dr.model.findings import Finding, finding, good, warned
from dr.model.points import PointSummary
from dr.model.strategy import FailureDomain, Objective, Place, SourceSpec
from dr.plan.advice import topic_of
from dr.plan.modes import MODES
from dr.plan.permissions import LEASE, RESTORE, Right, Scope, rights_of
from dr.ports import Source
from dr.run.checking import Look, check_place, check_rights, check_source, judge_points, judge_table, look_at
from dr.vendors.kubernetes_objects import Resource

ROLES: tuple[Role, ...] = ("capture", "restore", "prune")
CONNECT_S = 5.0


def check(app: App, components: Sequence[str]) -> tuple[Finding, ...]:
    """Is everything in place to keep the table?"""
    rows = app.rows(components)
    roles = [app, *(role for role in identities(app) if role.role != app.role)]
    looks = [look for role in roles for look in _places(role, rows, whole=role is app)]
    looks += [_source(app, spec) for row in rows for spec in row.sources]
    looks += [look for role in roles for row in rows for spec in row.sources for look in _witness(role, spec)]
    looks += [Look("keys", f"as {role.role}", "keys", partial(_keys, role)) for role in roles]
    looks.append(Look("table", "satisfiable", "table", partial(_table, app, [row.component for row in rows])))
    looks += [*_lease(app), *_receivers(app), *_deployed(app)]
    return look_at(looks)


def check_before_restore(app: App, components: Sequence[str]) -> tuple[Finding, ...]:
    """Only what a restore or a drill needs; `app` acts as who restores."""
    rows = app.rows(components)
    looks = _places(app, rows, whole=True)
    specs = [spec for row in rows for spec in row.sources]
    looks += [look for spec in specs for look in _ready(app, spec)]
    looks.append(Look("keys", f"as {app.role}", "keys", partial(_keys, app)))
    looks.append(Look("points", "catalogue", "points", partial(_points, app, specs)))
    return look_at(looks)


def identities(app: App) -> tuple[App, ...]:
    """The app as each identity whose credentials are declared."""
    declared = [role for role in ROLES if getattr(app.settings.credentials, role) is not None]
    return tuple(replace(app, role=role) for role in declared)


# --- places ----------------------------------------------------------------------------------------------------------


def _places(app: App, rows: Sequence[Objective], *, whole: bool) -> list[Look]:
    """`whole`: also what does not depend on who asks."""
    looks = []
    for role, store in app.places(rows).items():
        group = f"{role} {store.url}"
        ask = partial(check_rights, group, role, app.role, store)
        looks.append(Look(group, f"permissions of {app.role}", "permissions", ask))
        if whole:
            look = partial(check_place, group, role, store, _declared(app, role), app.clock.now)
            looks.append(Look(group, "format", "format", look))
    return looks


def _declared(app: App, role: str) -> Place | None:
    """The control repository's own place is not declared anywhere: it is where its bucket is."""
    return None if role == "control" else app.settings.vault(role).place


# --- sources ---------------------------------------------------------------------------------------------------------


def _source(app: App, spec: SourceSpec) -> Look:
    group = str(spec.id)

    def ask() -> Iterator[Finding]:
        source: Source = app.source(spec)
        yield from check_source(source)

    return Look(group, "source", topic_of(spec.id.kind, ""), ask)


def _ready(app: App, spec: SourceSpec) -> list[Look]:
    group = str(spec.id)

    def ask() -> Iterator[Finding]:
        ready = app.kits[spec.id.component].ready
        for one in ready(spec) if ready else ():
            yield finding(group, one, topic_of(spec.id.kind, one.name))

    return [Look(group, "ready", topic_of(spec.id.kind, ""), ask)]


def _witness(app: App, spec: SourceSpec) -> list[Look]:
    """Where a drill on a schedule asks more of Google Cloud than a restore does."""
    mode = MODES.get(spec.id.kind)
    return _ready(app, spec) if app.role == RESTORE and mode and mode.witness_option else []


def _points(app: App, specs: Sequence[SourceSpec]) -> Iterator[Finding]:
    points = all_points(app, sorted({spec.id.component for spec in specs}))
    for spec in specs:
        mine = [point for point in points if point.source == spec.id]
        yield judge_points(spec, len(mine), _survivors(mine))


def _survivors(points: Sequence[PointSummary]) -> dict[FailureDomain, int]:
    return {domain: sum(domain in point.survives for point in points) for domain in FailureDomain} if points else {}


def _table(app: App, components: Sequence[str]) -> Iterator[Finding]:
    rows, silent = planned_rows(app)
    yield from judge_table([row for row in rows if row.component in components])
    for line in silent:
        yield warned("table", "not asked", False, line, "source")


def _keys(app: App) -> Iterator[Finding]:
    from dr.app.keys import check_keys

    for one in check_keys(app.settings.keys, app.google, app.role):
        yield finding("keys", replace(one, name=f"{one.name} as {app.role}"), "keys")


# --- the service -----------------------------------------------------------------------------------------------------


def _lease(app: App) -> list[Look]:
    lease = app.settings.lease
    return [Look("lease", lease.name, "lease", partial(_lease_rights, app))] if lease.name else []


def _lease_rights(app: App) -> Iterator[Finding]:
    lease, rights = app.settings.lease, rights_of([LEASE])
    kube = app.kubernetes
    missing = [str(right) for right in rights if not kube.allowed(right.verb, resource_of(right), lease.namespace)]
    where = f"{lease.namespace}/{lease.name}"
    words = f"not allowed: {', '.join(missing)}" if missing else f"{len(rights)} permissions held"
    yield good("lease", where, not missing, words, "lease")


def resource_of(right: Right) -> Resource:
    """What a right is about, as the client asks for it."""
    return Resource(right.group, "v1", right.plural, namespaced=right.scope is not Scope.CLUSTER)


def _receivers(app: App) -> list[Look]:
    tell = app.settings.tell
    named = {"webhook": tell.webhook, "slack": tell.slack, "dead-man signal": tell.deadman_url}
    return [Look("receivers", name, "receivers", partial(_reachable, name, url)) for name, url in named.items() if url]


def _reachable(name: str, url: str) -> Iterator[Finding]:
    """A connection only: a message sent to look would be a false alarm. The address itself may be a secret."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), CONNECT_S).close()
        yield good("receivers", name, True, f"{host}:{port} takes connections", "receivers")
    except OSError as error:
        yield warned(
            "receivers", name, False, f"{host}:{port} cannot be reached: {error.strerror or error}", "receivers"
        )


def _deployed(app: App) -> list[Look]:
    """Only for a cluster that somebody declared a Lease or a kubeconfig for."""
    from dr.app.deployed import check_deployed

    if not app.settings.lease.name and app.settings.kubernetes.capture is None:
        return []
    ask: Callable[[], Iterator[Finding]] = partial(check_deployed, app.kubernetes, app.settings.lease.namespace)
    return [Look("deployed", "dr in the cluster", "deployed", _silent_when_gone(ask))]


def _silent_when_gone(ask: Callable[[], Iterator[Finding]]) -> Callable[[], Iterator[Finding]]:
    """That the cluster does not answer is said where the cluster is a source."""

    def asked() -> Iterator[Finding]:
        try:
            yield from ask()
        except DrError as error:
            yield warned("deployed", "dr in the cluster", False, error.message, "deployed")

    return asked
