"""`dr audit`: search and verify the audit log in the vault."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

import click

from dr.cli.common import emit, instant_of, next_command, output_option, the_app

if TYPE_CHECKING:
    from dr.app.audit import AuditVerification
    from dr.changelog import Entry
    from dr.report.sheet import Sheet

source_option = click.option("--source", "name", default="", metavar="NAME", help="Only this source of the table.")


@click.group("audit")
def command() -> None:
    """Search and verify the audit log; the vault alone is asked."""


@command.command("query")
@click.option("--since", metavar="T", help="RFC 3339 instant; entries of that time or later.")
@click.option("--until", metavar="T", help="RFC 3339 instant; entries of that time or earlier.")
@click.option(
    "--method", default="", metavar="PATTERN", help="Method name, or a part of it; `*.Delete*` matches whole names."
)
@click.option("--principal", default="", metavar="PATTERN", help="Who did it.")
@click.option("--resource", default="", metavar="PATTERN", help="What it was done to.")
@click.option("--text", default="", metavar="TEXT", help="Anything in the entry.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after so many.")
@source_option
@output_option("jsonl")
@click.pass_context
def query_command(
    ctx: click.Context,
    since: str | None,
    until: str | None,
    method: str,
    principal: str,
    resource: str,
    text: str,
    limit: int | None,
    name: str,
    form: str,
) -> None:
    """Entries in the order in which they arrived. `-o jsonl` writes each as it was logged, one a line, as they are found."""
    from dr.app.audit import search, sources
    from dr.components.audit.searching import Filter

    app = the_app(ctx, "restore")
    begin, end = instant_of(since, "--since"), instant_of(until, "--until")
    wanted = Filter(method, principal, resource, text)
    found = (entry for spec in sources(app, name) for entry in search(app, spec, begin, end, wanted))
    show_entries(islice(found, limit), form)


def show_entries(found: Iterable[Entry], form: str) -> None:
    """JSON lines and tables are printed as they come; one document needs all of it."""
    from dr.components.audit.searching import row_of

    rows = map(row_of, found)
    if form == "jsonl":
        for row in rows:
            click.echo(json.dumps(row["entry"], ensure_ascii=False, separators=(",", ":")))
    elif form in ("table", "wide"):
        show_lines(rows, wide=form == "wide")
    else:
        emit(form, "AuditEntry", list(rows), name="key", table=lambda _: "")


def show_lines(rows: Iterator[Mapping[str, object]], *, wide: bool) -> None:
    """A line each, so that a year of them needs no memory."""
    from dr.report.sheet import cell

    columns = ("at", *(("severity", "service") if wide else ()), "principal", "method", "resource")
    found = False
    for row in rows:
        found = True
        click.echo("  ".join(cell(row[column] or "-").text for column in columns))
    if not found:
        click.echo("no entry matches")


@command.command("verify")
@source_option
@output_option()
@click.pass_context
def verify_command(ctx: click.Context, name: str, form: str) -> None:
    """Read the whole log back: every byte, hash, link and quarantined message. Exit 7 when anything is not what it promises;
    each damaged object is named."""
    from dr.app.audit import item_of, sources, verify
    from dr.report.screen import show

    app = the_app(ctx, "restore")
    results = [verify(app, spec) for spec in sources(app, name)]
    emit(
        form,
        "AuditVerification",
        list(map(item_of, results)),
        name="source",
        table=lambda wide: show(sheet_of(results, wide)),
    )
    if not all(result.passed for result in results):
        ctx.exit(7)
    next_command("dr audit query --since T", "shows entries")


def sheet_of(results: Iterable[AuditVerification], wide: bool) -> Sheet:
    """One line a source; below it what failed, or with `wide` every check."""
    from dr.report import words
    from dr.report.sheet import Sheet, Tone, cell, columns_of

    rows, notes = [], []
    for result in results:
        survey = result.survey
        rows.append(
            (
                cell("ok", Tone.GOOD) if result.passed else cell("DAMAGED", Tone.BAD),
                cell(result.source),
                cell(f"{survey.entries:,}"),
                cell(f"{result.quarantined:,}"),
                cell(survey.packs),
                cell(survey.segments),
                cell(words.instant(survey.oldest)),
                cell(words.instant(survey.newest)),
                cell(words.instant(survey.last.watermark if survey.last else None)),
            )
        )
        shown = [check for check in result.checks if wide or not check.passed]
        notes += [f"{'ok' if check.passed else 'FAILED'}: {check.name}: {check.detail}" for check in shown]
    titles = (
        "result",
        "source",
        ">entries",
        ">quarantined",
        ">packs",
        ">segments",
        "oldest",
        "newest",
        "complete until",
    )
    return Sheet(columns_of(*titles), tuple(rows), tuple(notes))
