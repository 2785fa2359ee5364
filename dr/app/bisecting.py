"""`dr bisect`, wired."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from dr.app.captures import specs_of
from dr.app.core import App
from dr.app.looking_with import copy_of
from dr.app.restores import planner, runner
from dr.app.who import who
from dr.errors import CONFIGURATION, INSTANT_UNREACHABLE, NOT_FOUND, REJECTED, TIMED_OUT, USAGE, DrError
from dr.model.bisecting import Bisection, BisectOrder
from dr.model.plans import PlannedRestore
from dr.model.points import Coverage
from dr.model.strategy import FailureDomain, SourceSpec
from dr.model.timeline import compact_instant, format_instant
from dr.plan.bisecting import candidates
from dr.plan.modes import MODES
from dr.record.catalogue import list_points
from dr.record.codec import decode
from dr.run.bisect import BASE, BisectRunner, CheckRun
from dr.run.engine import Retry
from dr.vendors.asking import run as run_program


def new_search(
    app: App,
    command: str,
    components: Sequence[str],
    domain: FailureDomain,
    first: datetime | None,
    last: datetime | None,
    every: timedelta | None,
    timeout: timedelta,
    max_cost_usd: float | None,
    confirm: int,
) -> BisectOrder:
    """What will be searched. Raises DrError USAGE, INSTANT_UNREACHABLE when there is nothing to search, UNKNOWN_COMPONENT."""
    now = app.clock.now()
    specs = specs_of(app, components)
    found = _candidates(app, specs, domain, first, min(last or now, now), every)
    if not found:
        text = f"nothing of {', '.join(sorted({spec.id.component for spec in specs}))} can be restored in that range"
        raise DrError(INSTANT_UNREACHABLE, text, hint="`dr points list` shows what there is")
    return BisectOrder(
        id=f"bisect-{compact_instant(now.replace(microsecond=0))}-{secrets.token_hex(2)}",
        command=command,
        components=tuple(components),
        domain=domain,
        candidates=found,
        begun=now,
        by=who(app),
        strategy_sha256=app.strategy.sha256,
        timeout=timeout,
        max_cost_usd=max_cost_usd,
        confirm=confirm,
    )


def _candidates(
    app: App,
    specs: Sequence[SourceSpec],
    domain: FailureDomain,
    first: datetime | None,
    last: datetime,
    every: timedelta | None,
) -> tuple[datetime, ...]:
    points = [point for name in {spec.id.component for spec in specs} for point in list_points(app.vault(name))]
    histories = [history for spec in specs for history in _histories(app, spec, domain)]
    try:
        return candidates([spec.id for spec in specs], points, histories, domain, first, last, every)
    except ValueError as error:
        raise DrError(USAGE, f"--every: {error}") from None


def _histories(app: App, spec: SourceSpec, domain: FailureDomain) -> Iterator[Coverage]:
    """Of a change log in the vault; of the source itself only where it is said to live."""
    yield from app.coverage(spec)
    mode = MODES.get(spec.id.kind)
    if domain is FailureDomain.LOGICAL and mode is not None and mode.live:
        live = app.source(spec).observe().coverage
        if live:
            yield live


def stored_search(app: App, bisect: str) -> BisectOrder:
    """One that was begun. Raises DrError NOT_FOUND, DAMAGED."""
    name = f"{BASE}/{bisect}/order.json"
    if "/" in bisect or app.control.stat(name) is None:
        raise DrError(NOT_FOUND, f"no search {bisect!r} was begun", hint="`dr bisect --check CMD` begins one")
    return decode(app.control.get(name), BisectOrder, f"{app.control.url}/{name}")


def search(app: App, order: BisectOrder, stop: Callable[[], bool] = lambda: False) -> Bisection:
    """Begin, or go on. Raises as `BisectRunner.run`, and REJECTED when the strategy is another than at the beginning."""
    if order.strategy_sha256 != app.strategy.sha256:
        raise DrError(REJECTED, "the strategy changed since this search began", hint="begin a new one")
    once = replace(app.engine, retry=Retry(attempts=1))
    bisecting = BisectRunner(planner(app), runner(app, BASE, stop), once, app.control, app.clock, partial(_ask, app))
    return bisecting.run(order, specs_of(app, order.components))


def _ask(app: App, order: BisectOrder, number: int, items: Sequence[PlannedRestore]) -> CheckRun:
    """The check, by the shell, as whoever runs `dr`. Raises DrError CONFIGURATION when there is no shell."""
    argv, seconds = ["/bin/sh", "-c", order.command], order.timeout.total_seconds()
    try:
        return CheckRun(*run_program(argv, {**os.environ, **_environment(app, order, number, items)}, seconds))
    except DrError as error:
        if error.kind is TIMED_OUT:
            return CheckRun(None, "", f"the check did not end within {seconds:g} s")
        raise DrError(CONFIGURATION, error.message) from error


def _environment(app: App, order: BisectOrder, number: int, items: Sequence[PlannedRestore]) -> Mapping[str, str]:
    """Of each name the first source that has it; DR_COPIES tells of all of them, as JSON."""
    copies = [dict(copy_of(app, item).environment()) for item in items]
    merged: dict[str, str] = {}
    for copy in copies:
        merged |= {name: value for name, value in copy.items() if value and name not in merged}
    most = format_instant(max(item.instant for item in items))
    return merged | {
        "DR_BISECT": order.id,
        "DR_GUESS": str(number),
        "DR_INSTANT": most,
        "DR_COPIES": json.dumps(copies),
    }
