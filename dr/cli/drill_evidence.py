"""`dr drill seal|verify|note|assign|sign-off|key`: the evidence of a drill."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dr.cli.common import emit, next_command, output_option, the_app

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dr.app.core import App
    from dr.app.mandate import Mandate
    from dr.app.verifying import VerifiedFile
    from dr.errors import DrError
    from dr.model.dossier import Addendum
    from dr.model.points import Check
    from dr.report.envelope import Item

F = TypeVar("F", bound="Callable[..., Any]")
_as = click.option("--as", "by", required=True, metavar="NAME", help="Who says so; on record.")


_PEOPLE = (
    click.option("--executor", default="", metavar="NAME", help="Who runs it (default: this account)."),
    click.option("--witnessed-by", default="", metavar="NAME", help="Who watched it."),
    click.option("--approver", default="", metavar="NAME", help="Who approved that it is held; not the executor."),
    click.option("--ticket", default="", metavar="ID", help="The change or the exercise it belongs to."),
    click.option("--runbook", default="", metavar="PAGE", help="The runbook that people work by; its hash is kept."),
)


def people_options(command: F) -> F:
    """Who runs a drill, and by what authority; it goes into the order before anything is restored."""
    for option in reversed(_PEOPLE):
        command = option(command)
    return command


def mandate_given(app: App, given: Mapping[str, str]) -> Mandate:
    """From the values of `people_options`. Raises DrError USAGE, NOT_FOUND."""
    from dr.app.mandate import mandate_of
    from dr.model.evidence import People

    names = ("executor", "witnessed_by", "approver", "ticket")
    return mandate_of(app, People(*(given[name].strip() for name in names)), given["runbook"])


def unsealed(drill: str, error: DrError) -> None:
    """On standard error: the report is kept all the same."""
    click.echo(f"the report is kept, and not sealed: {error.message}; seal it with: dr drill seal {drill}", err=True)


@click.command("seal")
@click.argument("drill")
@click.pass_context
def seal_command(ctx: click.Context, drill: str) -> None:
    """Seal a drill whose seal failed (`dr drill run` seals by itself); one that is sealed stays as it is."""
    from dr.app.evidence import seal_drill

    sealed = seal_drill(the_app(ctx, "restore"), drill)
    signed = (
        f"signed by {sealed.dossier.signer}" if sealed.envelope.signatures else "unsigned: keys.evidence is not set"
    )
    click.echo(f"{drill}  number {sealed.dossier.number}, {signed}, envelope {sealed.envelope.sha256}")


@click.command("key")
@click.pass_context
def key_command(ctx: click.Context) -> None:
    """Print the public key that evidence is signed with (PEM): whoever verifies gets it from you by another way."""
    from dr.app.evidence import public_key

    click.echo(public_key(the_app(ctx, "restore")).rstrip())


@click.command("verify")
@click.argument("files", nargs=-1, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--key", "key", type=click.Path(dir_okay=False, path_type=Path), help="Public key, PEM (default: of keys.evidence)."
)
@output_option()
@click.pass_context
def verify_command(ctx: click.Context, files: tuple[Path, ...], key: Path | None, form: str) -> None:
    """Check sealed reports, JSON or HTML: signature, every byte, and the chain between them. With --key nothing but the files is read.

    Without FILES: the whole chain in the control repository. Exit 7 when anything is not as it was sealed.
    """
    from dr.app.evidence import public_key
    from dr.app.verifying import verify_files

    pem = _pem(key) if key else public_key(the_app(ctx, "restore"))
    found = verify_files(files, pem) if files else _chain(ctx, pem)
    items: list[Item] = [
        {
            "file": one.name,
            "drill": one.sealed.report.id if one.sealed else None,
            "passed": one.passed,
            "checks": _checks(one.checks),
        }
        for one in found
    ]
    emit(form, "VerifiedDrill", items, name="file", table=lambda wide: _table(items, wide))
    if not all(one.passed for one in found):
        from dr.errors import Exit

        ctx.exit(int(Exit.VERIFICATION_FAILED))


def _checks(checks: Sequence[Check]) -> list[Item]:
    from dr.report.envelope import check_item

    return [check_item(one) for one in checks]


def _table(items: Sequence[Item], wide: bool) -> str:
    from dr.report.screen import show
    from dr.report.tables import verified_sheet

    return show(verified_sheet(items, wide=wide))


def _chain(ctx: click.Context, pem: str) -> Sequence[VerifiedFile]:
    from dr.app.evidence import whole_chain
    from dr.app.verifying import verify_chain

    return verify_chain(whole_chain(the_app(ctx, "restore")), pem)


def _pem(path: Path) -> str:
    """Raises DrError NOT_FOUND."""
    from dr.errors import NOT_FOUND, DrError

    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DrError(NOT_FOUND, f"cannot read the key {path}: {error}") from None


@click.command("note")
@click.argument("drill")
@click.argument("text")
@_as
@click.pass_context
def note_command(ctx: click.Context, drill: str, text: str, by: str) -> None:
    """Append what a person did or saw, also while the drill runs: it stands among the manual interventions."""
    from dr.app.evidence import add_note

    _told(add_note(the_app(ctx, "restore"), drill, by, text))


@click.command("assign")
@click.argument("drill")
@click.argument("finding")
@click.option("--owner", default="", help="Who mends it.")
@click.option("--due", default="", metavar="DAY", help="Until when: 2026-02-01.")
@click.option("--retest", default="", metavar="DRILL", help="The drill that tested it again.")
@_as
@click.pass_context
def assign_command(ctx: click.Context, drill: str, finding: str, owner: str, due: str, retest: str, by: str) -> None:
    """Say who mends a finding (F1, F2...), until when, and which drill tested it again."""
    from dr.app.evidence import assign
    from dr.errors import USAGE, DrError

    if due and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", due):
        raise DrError(USAGE, f"--due {due}: write a day, for example 2026-02-01")
    if not (owner or due or retest):
        raise DrError(USAGE, "nothing is assigned: give --owner, --due or --retest")
    _told(assign(the_app(ctx, "restore"), drill, by, finding, owner, due, retest))


@click.command("sign-off")
@click.argument("drill")
@click.option("--comment", default="", help="What the approval says besides.")
@_as
@click.pass_context
def sign_off_command(ctx: click.Context, drill: str, comment: str, by: str) -> None:
    """Approve a sealed drill's result: by somebody else than who ran it; appended, signed and locked."""
    from dr.app.evidence import sign_off

    _told(sign_off(the_app(ctx, "restore"), drill, by, comment))
    next_command(f"dr drill report {drill} -o html", "the page with the sign-off on it")


def _told(one: Addendum) -> None:
    click.echo(f"{one.drill}  {one.number}: {one.said} by {one.by}")


def _late() -> None:
    """Types only."""


if TYPE_CHECKING:
    from dr.app.verifying import VerifiedFile

EVIDENCE_COMMANDS = (seal_command, key_command, verify_command, note_command, assign_command, sign_off_command)
