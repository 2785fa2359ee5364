"""What a drill of the audit row asks of Cloud Logging, looked at as whoever restores (`Kit.ready`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from dr.components.audit.access import PubsubOptions
from dr.components.audit.checking import sink_check
from dr.components.audit.source import SinkApi
from dr.errors import DrError
from dr.model.points import Check
from dr.model.strategy import SourceSpec
from dr.plan.permissions import RESTORE, Where, permissions

Missing = Callable[[str, Sequence[str]], tuple[str, ...]]
"""(project, permissions) -> those that are missing."""


def check_ready(spec: SourceSpec, missing: Missing, sinks: SinkApi) -> tuple[Check, ...]:
    """The restore itself reads the vault alone; these are for the drill's witness."""
    options = PubsubOptions.of(spec)
    if not options.sink:
        return (Check("witness", True, "no sink is named: a drill needs a writer's record (--witness)"),)
    return (_permissions(options.project, missing), *_sink(options, sinks))


def _permissions(project: str, missing: Missing) -> Check:
    """Asked for by name: without one of them Cloud Logging answers with less, and says nothing."""
    name, wanted = f"permissions on the log of project {project}", permissions(RESTORE, Where.SINK)
    try:
        lacking = missing(project, wanted)
    except DrError as error:
        return Check(name, False, error.message)
    return Check(name, not lacking, f"missing: {', '.join(lacking)}" if lacking else f"{len(wanted)} held")


def _sink(options: PubsubOptions, sinks: SinkApi) -> Iterator[Check]:
    try:
        yield sink_check(options.sink, sinks.sink(options.project, options.sink), options)
    except DrError as error:
        yield Check(f"sink {options.sink}", False, error.message)
