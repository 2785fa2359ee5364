"""Who runs a drill, and by what authority: from the flags of `dr drill run`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dr.app.core import App
from dr.app.who import who
from dr.errors import USAGE, DrError
from dr.model.evidence import People
from dr.plan.dossier import same_person


@dataclass(frozen=True, slots=True)
class Mandate:
    """Goes into the order, before anything is restored. `runbook`: the page that people work by, and its hash."""

    people: People = field(default_factory=People)
    runbook: str = ""
    runbook_sha256: str = ""


NOBODY = Mandate()


def mandate_of(app: App, people: People, runbook: str) -> Mandate:
    """Without an executor it is the account that runs the command. Raises DrError USAGE when the approver is the executor,
    NOT_FOUND when there is no such page."""
    named = replace(people, executor=people.executor or who(app))
    if named.approver and same_person(named.approver, named.executor):
        raise DrError(USAGE, f"{named.approver} cannot approve what {named.executor} runs: name somebody else")
    if not runbook:
        return Mandate(named)
    from dr.runbook.pages import page

    found = page(runbook)
    return Mandate(named, found.name, found.sha256)
