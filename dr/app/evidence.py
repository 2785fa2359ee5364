"""Sealed drills: gathered, signed, chained, read back, and what is appended to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dr.app.core import App
from dr.app.who import who
from dr.errors import CONFLICT, DAMAGED, LOCKED, NEWER_FORMAT, NOT_FOUND, USAGE, DrError
from dr.model.dossier import Addendum, Dossier, Intervention, Previous, Said
from dr.model.evidence import DrillReport
from dr.model.sealed import ADDENDUM_TYPE, DRILL_TYPE, Envelope
from dr.plan.dossier import same_person
from dr.record.chain import (
    Appended,
    ChainLink,
    add_link,
    addenda_of,
    append,
    every_link,
    link_name,
    link_of,
    newest,
    next_number,
    read_addendum,
)
from dr.record.codec import decode, encode, from_json, to_json
from dr.report.drill_json import drill_json, read_drill_json
from dr.report.sealed_file import Seal, payload_of, sealed_json, take_apart
from dr.run.dossier import Link, gather
from dr.run.dossier_points import Around
from dr.run.drill import list_drills, load_report
from dr.settings import KeySettings

if TYPE_CHECKING:
    from dr.ports import ObjectStore, Signer
    from dr.vendors.google import GoogleAccess

RECENT = 100
"""Earlier drills that a trend looks at."""
TRIES = 8
"""Drills that may be sealed at the same moment."""


@dataclass(frozen=True, slots=True)
class SealedDrill:
    """A sealed drill as it is shown."""

    report: DrillReport
    dossier: Dossier
    envelope: Envelope
    addenda: tuple[Appended, ...] = ()

    @property
    def seal(self) -> Seal:
        return Seal(self.envelope, tuple(one.envelope for one in self.addenda))


def open_signer(keys: KeySettings, google: Callable[[], GoogleAccess]) -> Signer | None:
    """The key that the settings declare; nothing is contacted or read yet."""
    if not keys.evidence:
        return None
    if keys.evidence.startswith("file://"):
        from dr.vendors.signingfile import FileSigner

        return FileSigner(Path(keys.evidence.removeprefix("file://")))
    from dr.vendors.kms import CloudSigner, Kms

    return CloudSigner(Kms(google()), keys.evidence.removeprefix("gcp-kms://"))


def signer_of(app: App) -> Signer | None:
    return open_signer(app.settings.keys, lambda: app.google)


def enveloped(payload: bytes, payload_type: str, signer: Signer | None) -> Envelope:
    """Unsigned without a signer."""
    if signer is None:
        return Envelope(payload, payload_type)
    from dr.vendors.dsse import sign

    return sign(payload, payload_type, signer)


# --- sealing --------------------------------------------------------------------------------------------------------


def seal_drill(app: App, drill: str) -> SealedDrill:
    """Gather and seal; what is sealed already stays as it is, and is locked. Raises DrError NOT_FOUND, NOT_AUTHORISED,
    UNREACHABLE."""
    from dr.app.drills import longest_retention

    report = load_report(app.control, drill)
    until = report.ended_at + longest_retention(app)
    for name in (f"drills/{drill}/order.json", f"drills/{drill}/plan.json"):
        lock(app.control, name, until)
    found = link_of(app.control, drill) or _sealed_anew(app, report, until)
    lock(app.control, link_name(found.number), until)
    return opened(found.envelope, addenda_of(app.control, drill))


def lock(control: ObjectStore, name: str, until: datetime) -> None:
    """Against deletion, where it is there; a longer lock stays."""
    info = control.stat(name)
    if info is not None and (info.retain_until is None or info.retain_until < until):
        control.retain(name, generation=info.generation, until=until)


def _sealed_anew(app: App, report: DrillReport, until: datetime) -> ChainLink:
    earlier, signer = recent_reports(app.control, report), signer_of(app)
    for _ in range(TRIES):
        link = _next(app, signer, until)
        made = ChainLink(link.number, report.id, enveloped(_payload(app, report, earlier, link), DRILL_TYPE, signer))
        try:
            add_link(app.control, made)
        except DrError as error:
            if error.kind is not CONFLICT:
                raise
            continue
        return made
    raise DrError(LOCKED, f"{report.id} was not sealed: others took every place in the chain", hint="seal it again")


def recent_reports(control: ObjectStore, report: DrillReport) -> tuple[DrillReport, ...]:
    """The newest ones by the instant in their names: years of nightly drills are not read to draw a trend."""
    names = sorted((name for name in list_drills(control) if name != report.id), key=_instant_in)
    return tuple(load_report(control, name) for name in names[-RECENT:])


def _instant_in(drill: str) -> tuple[str, str]:
    """`quarterly-20250528T100000Z-3f2a` -> that instant as text, which sorts by time."""
    parts = drill.rsplit("-", 2)
    return (parts[1] if len(parts) == 3 else "", drill)


def _next(app: App, signer: Signer | None, until: datetime) -> Link:
    last = newest(app.control)
    previous = Previous(last.number, last.drill, last.envelope.sha256) if last else None
    number = last.number + 1 if last else 1
    return Link(number, previous, signer.name if signer else "", app.clock.now(), until)


def _payload(app: App, report: DrillReport, earlier: Sequence[DrillReport], link: Link) -> bytes:
    around = Around(app.control, app.vault, app.strategy, app.settings.places())
    notes = [(as_intervention(one.addendum), one.envelope.sha256) for one in addenda_of(app.control, report.id)]
    return payload_of(document(report, gather(around, report, earlier, notes, link)))


def as_intervention(one: Addendum) -> Intervention:
    return Intervention("note", one.at, one.by, one.text)


def document(report: DrillReport, dossier: Dossier) -> Mapping[str, object]:
    """The report's JSON with the dossier as `evidence`."""
    body: dict[str, object] = json.loads(drill_json(report))
    items = body.pop("items")
    return {**body, "evidence": {"format": 1, **to_json(dossier)}, "items": items}


# --- reading --------------------------------------------------------------------------------------------------------


def opened(envelope: Envelope, addenda: tuple[Appended, ...]) -> SealedDrill:
    """Raises DrError DAMAGED, NEWER_FORMAT."""
    report, dossier = read_document(envelope.payload)
    return SealedDrill(report, dossier, envelope, addenda)


def read_document(payload: bytes) -> tuple[DrillReport, Dossier]:
    """Inverse of `document`. Raises DrError DAMAGED, NEWER_FORMAT."""
    report = read_drill_json(payload)
    body: dict[str, Any] = json.loads(payload)
    evidence = body.get("evidence")
    if not isinstance(evidence, dict):
        raise DrError(DAMAGED, "the sealed record has no evidence in it")
    if evidence.pop("format", None) != 1:
        raise DrError(NEWER_FORMAT, "the sealed record has a format that this dr does not read")
    return report, from_json(evidence, Dossier, "the sealed record")


def sealed_from(content: bytes) -> SealedDrill:
    """From a file that `dr drill report` wrote; not verified. Raises DrError DAMAGED, NEWER_FORMAT."""
    try:
        seal = take_apart(content).seal
    except ValueError as error:
        raise DrError(DAMAGED, f"the file is damaged: {error}") from None
    found = (Appended(read_addendum(one, "an addendum"), one) for one in seal.addenda)
    return opened(seal.envelope, tuple(found))


def sealed_drill(app: App, drill: str) -> SealedDrill | None:
    """None: that drill was never sealed. Raises DrError DAMAGED, NEWER_FORMAT."""
    found = link_of(app.control, drill)
    return opened(found.envelope, addenda_of(app.control, drill)) if found else None


def document_for(app: App, report: DrillReport) -> Mapping[str, object]:
    """The report's JSON: with evidence and seal, where it was sealed."""
    found = sealed_drill(app, report.id)
    text = sealed_json(found.seal) if found else drill_json(report)
    body: dict[str, object] = json.loads(text)
    return body


def seal_line(app: App, drill: str) -> str:
    """One sentence under a report's table."""
    link = link_of(app.control, drill)
    if link is None:
        return "not sealed"
    signers = [one.keyid[:16] for one in link.envelope.signatures]
    signed = f"signed by key {signers[0]}" if signers else "unsigned: keys.evidence is not set"
    return f"sealed as number {link.number}, {signed}"


def seal_facts(app: App, drill: str) -> Mapping[str, str]:
    """For a JUnit report, which carries no seal: which record it belongs to."""
    link = link_of(app.control, drill)
    signed = "yes" if link and link.envelope.signatures else "no"
    return {"drill": drill, "signed": signed} | ({"envelope_sha256": link.envelope.sha256} if link else {})


def whole_chain(app: App) -> tuple[tuple[int, str, Envelope, tuple[Appended, ...]], ...]:
    """Every link with what was appended to its drill. Raises DrError NOT_FOUND when nothing was ever sealed."""
    found = every_link(app.control)
    if not found:
        raise DrError(NOT_FOUND, "no drill was sealed yet", hint="`dr drill run` seals each")
    return tuple((one.number, one.drill, one.envelope, addenda_of(app.control, one.drill)) for one in found)


def public_key(app: App) -> str:
    """PEM of the configured key. Raises DrError USAGE where there is none."""
    signer = signer_of(app)
    if signer is None:
        raise DrError(USAGE, "no key signs evidence here: keys.evidence is not set", hint="see docs/evidence.md")
    return signer.public_key()


# --- appending ------------------------------------------------------------------------------------------------------


def add_note(app: App, drill: str, by: str, text: str) -> Addendum:
    """A note, also while the drill still runs. Raises DrError NOT_FOUND."""
    return _append(app, _blank(app, drill, Said.NOTE, by, text))


def assign(app: App, drill: str, by: str, finding: str, owner: str, due: str, retest: str) -> Addendum:
    """Who mends a finding, until when, and which drill tested it again. Raises DrError USAGE, NOT_FOUND."""
    sealed = _required(app, drill)
    known = [one.id for one in sealed.dossier.findings]
    if finding not in known:
        raise DrError(USAGE, f"{drill} has no finding {finding!r}", hint=f"it has {', '.join(known) or 'none'}")
    if retest:
        load_report(app.control, retest)
    blank = _blank(app, drill, Said.ASSIGNED, by, "")
    return _append(app, replace(blank, finding=finding, owner=owner, due=due, retest=retest))


def sign_off(app: App, drill: str, by: str, text: str) -> Addendum:
    """By somebody else than who ran it. Raises DrError USAGE, NOT_FOUND."""
    executor = _required(app, drill).dossier.people.executor
    refuse_same(by, executor, "signs off")
    return _append(app, _blank(app, drill, Said.SIGNED_OFF, by, text))


def refuse_same(by: str, executor: str, does: str) -> None:
    """Raises DrError USAGE when nobody, or the executor, approves."""
    if not by.strip():
        raise DrError(USAGE, f"nobody is named who {does}")
    if same_person(by, executor):
        raise DrError(USAGE, f"{by} ran this drill ({executor}): somebody else {does}")


def _required(app: App, drill: str) -> SealedDrill:
    found = sealed_drill(app, drill)
    if found is None:
        load_report(app.control, drill)
        raise DrError(NOT_FOUND, f"the drill {drill} is not sealed", hint=f"dr drill seal {drill}")
    return found


def _blank(app: App, drill: str, said: Said, by: str, text: str) -> Addendum:
    if app.control.stat(f"drills/{drill}/order.json") is None:
        raise DrError(NOT_FOUND, f"there is no drill {drill!r}", hint="`dr drill list` lists them")
    return Addendum(drill, 0, said, app.clock.now(), by, who(app), text=text)


def _append(app: App, blank: Addendum) -> Addendum:
    """Behind the last one; its number is the fence. Raises DrError LOCKED, CONFLICT."""
    found, link = addenda_of(app.control, blank.drill), link_of(app.control, blank.drill)
    one = replace(
        blank,
        number=next_number(found),
        seal=link.envelope.sha256 if link else "",
        follows=found[-1].envelope.sha256 if found else "",
    )
    envelope = enveloped(encode(one), ADDENDUM_TYPE, signer_of(app))
    until = opened(link.envelope, ()).dossier.keep_until if link else None
    append(app.control, Appended(decode(envelope.payload, Addendum, "the addendum"), envelope), until)
    return one
