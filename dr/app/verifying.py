"""Whether files of sealed drills are what was sealed: offline, with the files and a public key alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dr.app.evidence import SealedDrill, opened
from dr.errors import NOT_FOUND, VERIFICATION_FAILED, DrError
from dr.model.points import Check
from dr.model.sealed import DRILL_TYPE, Envelope
from dr.record.chain import Appended, read_addendum
from dr.report.sealed_file import SealedFile, differences, line_differences, named, sealed_json, take_apart

UNSIGNED = "unsigned: no key was configured when it was made; whoever can write this file could have written it"


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """What was looked at in one file. `sealed` is None when it could not be read."""

    name: str
    checks: tuple[Check, ...]
    sealed: SealedDrill | None

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)


def verify_files(paths: Sequence[Path], public_key: str) -> tuple[VerifiedFile, ...]:
    """Each by itself, and the links of the chain between those that follow each other. Raises DrError NOT_FOUND,
    CONFIGURATION when that is no public key."""
    found = [verify_file(path.name, _content(path), public_key) for path in paths]
    return tuple(_linked(one, found) for one in found)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DrError(NOT_FOUND, f"cannot read {path}: {error.strerror}") from None


def verify_file(name: str, content: bytes, public_key: str) -> VerifiedFile:
    """Raises DrError CONFIGURATION when that is no public key."""
    try:
        file = take_apart(content)
    except ValueError as error:
        return VerifiedFile(name, (Check("file", False, str(error)),), None)
    checks = [_signature("signature", file.seal.envelope, DRILL_TYPE, public_key)]
    try:
        sealed = opened(file.seal.envelope, _appended(file))
    except DrError as error:
        return VerifiedFile(name, (*checks, *_shown(file), Check("sealed record", False, error.message)), None)
    checks += [*_shown(file), _bytes(file, sealed), *_committed(sealed), *_addenda(sealed, public_key)]
    return VerifiedFile(name, tuple(checks), sealed)


def _appended(file: SealedFile) -> tuple[Appended, ...]:
    return tuple(
        Appended(read_addendum(one, f"addendum {number}"), one) for number, one in enumerate(file.seal.addenda, 1)
    )


def _signature(name: str, envelope: Envelope, payload_type: str, public_key: str) -> Check:
    from dr.vendors.dsse import key_id, verify

    key = key_id(public_key)
    if envelope.payload_type != payload_type:
        return Check(name, False, f"what was signed is {envelope.payload_type}, not {payload_type}")
    if not envelope.signatures:
        return Check(name, False, UNSIGNED)
    try:
        verify(envelope, public_key)
    except DrError as error:
        if error.kind is not VERIFICATION_FAILED:
            raise
        return Check(name, False, error.message)
    return Check(name, True, f"by the key {key[:16]}")


def _shown(file: SealedFile) -> Iterator[Check]:
    """Field by field, where the file shows fields."""
    if file.shown is None:
        return
    try:
        found = list(differences(json.loads(file.seal.envelope.payload), dict(file.shown)))
    except ValueError:
        found = ["the sealed payload is no JSON any more"]
    yield Check("contents", not found, named(found) or "every field says what was sealed")


def _bytes(file: SealedFile, sealed: SealedDrill) -> Check:
    """Everything else: the file is drawn again from what is sealed, and must be the same to the byte."""
    again = sealed_json(file.seal) if file.shown is not None else _page(sealed)
    if again == file.text:
        return Check("bytes", True, "drawn again from the sealed record, it is the same file")
    found = named(line_differences(again, file.text)) or "it ends otherwise"
    hint = "" if file.shown is not None else _versions(sealed)
    return Check("bytes", False, f"{found}{hint}")


def _page(sealed: SealedDrill) -> str:
    from dr.app.drillpage import page_of

    return page_of(sealed)


def _versions(sealed: SealedDrill) -> str:
    from dr import __version__

    if sealed.report.tool_version == __version__:
        return ""
    return f" (drawn by dr {sealed.report.tool_version}, compared by {__version__}: pages differ between versions; verify the JSON)"


def _committed(sealed: SealedDrill) -> Iterator[Check]:
    """What the record says of itself."""
    order = sealed.dossier.order
    if order.in_time is not None:
        text = f"stored {order.stored}, the restore began {order.before}"
        yield Check("targets before the restore", order.in_time, text)


# --- what was appended ----------------------------------------------------------------------------------------------


def _addenda(sealed: SealedDrill, public_key: str) -> Iterator[Check]:
    before = ""
    for number, one in enumerate(sealed.addenda, 1):
        name = f"addendum {number} ({one.addendum.said} by {one.addendum.by})"
        signature = _signature(name, one.envelope, one.envelope.payload_type, public_key)
        yield signature if not signature.passed else _in_its_place(name, number, one, before, sealed)
        before = one.envelope.sha256
    missing = len(sealed.dossier.notes) - len(sealed.addenda)
    if missing > 0:
        yield Check("addenda", False, f"{missing} that the record names are missing")


def _in_its_place(name: str, number: int, one: Appended, before: str, sealed: SealedDrill) -> Check:
    addendum, early = one.addendum, sealed.dossier.notes
    if addendum.drill != sealed.report.id:
        return Check(name, False, f"it belongs to {addendum.drill}")
    if (addendum.number, addendum.follows) != (number, before):
        return Check(name, False, "it does not follow the one before: one was taken out, added or moved")
    known = (
        early[number - 1] == one.envelope.sha256 if number <= len(early) else addendum.seal == sealed.envelope.sha256
    )
    return Check(name, known, "in its place" if known else "it was not appended to this record")


# --- the chain ------------------------------------------------------------------------------------------------------


def _linked(one: VerifiedFile, found: Iterable[VerifiedFile]) -> VerifiedFile:
    """With the check of the link to the drill before, where that is among the files."""
    if one.sealed is None:
        return one
    by_number = {other.sealed.dossier.number: other.sealed for other in found if other.sealed}
    return VerifiedFile(
        one.name, (*one.checks, link_check(one.sealed, by_number.get(one.sealed.dossier.number - 1))), one.sealed
    )


def link_check(sealed: SealedDrill, before: SealedDrill | None) -> Check:
    """Whether it names the one before as that is."""
    number, previous = sealed.dossier.number, sealed.dossier.previous
    if previous is None:
        return Check(
            "chain", number == 1, "the first of its chain" if number == 1 else f"number {number} names none before"
        )
    text = f"number {number}, after {previous.number} ({previous.drill}), envelope {previous.sha256[:16]}"
    if previous.number != number - 1:
        return Check("chain", False, f"{text}: the numbers do not follow each other")
    if before is None:
        return Check("chain", True, f"{text}, which is not at hand: give its file too")
    same = before.envelope.sha256 == previous.sha256
    return Check("chain", same, text if same else f"{text}: the one at hand has {before.envelope.sha256[:16]}")


def verify_chain(
    found: Sequence[tuple[int, str, Envelope, tuple[Appended, ...]]], public_key: str
) -> tuple[VerifiedFile, ...]:
    """All links of a control repository: none missing, each signed, each naming the one before."""
    results: list[VerifiedFile] = []
    before: SealedDrill | None = None
    for place, (number, drill, envelope, addenda) in enumerate(found, 1):
        sealed = opened(envelope, addenda)
        own = number == place == sealed.dossier.number and drill == sealed.report.id
        checks = [
            _signature("signature", envelope, DRILL_TYPE, public_key),
            Check(
                "number",
                own,
                f"{number} of {len(found)}" if own else f"a link is missing or moved before number {number}",
            ),
            *_addenda(sealed, public_key),
            link_check(sealed, before),
        ]
        results.append(VerifiedFile(drill, tuple(checks), sealed))
        before = sealed
    return tuple(results)
