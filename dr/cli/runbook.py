"""`dr runbook`: what to do, page by page, also from a laptop that has nothing but `dr`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.common import emit, output_option

if TYPE_CHECKING:
    from dr.model.runbooks import RunbookRun
    from dr.runbook.pages import Block, Page
    from dr.runbook.stepping import Answer

STOPPED = 3


@click.group("runbook")
def command() -> None:
    """List, show and step through the runbooks. `dr runbook show start` is where to begin."""


@command.command("list")
@click.option("--covers", metavar="TEXT", default="", help="Only those of this row or domain: appdata, appdata/source.")
@click.option("--error", metavar="CODE", default="", help="Only those that this error leads to.")
@output_option()
def list_command(covers: str, error: str, form: str) -> None:
    """All runbooks, and what each is for."""
    from dr.report.screen import show
    from dr.report.sheet import Sheet, cell, columns_of
    from dr.runbook.pages import library

    pages = [page for page in library().values() if _wanted(page, covers, error)]
    items = [page_item(page) for page in pages]
    rows = tuple((cell(page.name), cell(page.title), cell(" ".join(page.covers))) for page in pages)
    sheet = Sheet(columns_of("runbook", "what for", "rows and domains"), rows, empty="no runbook is for that")
    emit(form, "Runbook", items, name="name", table=lambda _: show(sheet))


def _wanted(page: Page, covers: str, error: str) -> bool:
    here = not covers or any(covers in (one, *one.split("/")) for one in page.covers)
    return here and (not error or error in page.errors)


def page_item(page: Page) -> Mapping[str, object]:
    return {
        "name": page.name,
        "title": page.title,
        "covers": list(page.covers),
        "errors": list(page.errors),
        "alerts": list(page.alerts),
        "variables": dict(page.variables),
        "steps": [
            {"title": one.title, "manual": one.manual, "expected": list(one.expected), "command": one.command}
            for one in page.blocks
        ],
    }


@command.command("show")
@click.argument("name")
@output_option()
def show_command(name: str, form: str) -> None:
    """One runbook as Markdown. NAME may end in `#section`: `errors#damaged`."""
    from dr.runbook.pages import page

    wanted, _, anchor = name.partition("#")
    found = page(wanted)
    text = found.section(anchor) if anchor else found.text
    emit(form, "Runbook", [page_item(found)], name="name", table=lambda _: text)


@command.command("run")
@click.argument("name")
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="A variable of the page; repeatable.")
@click.option("--yes", is_flag=True, help="Ask only where a person must act.")
@click.option("--from", "first", type=click.IntRange(1), default=1, show_default=True, help="Begin at this step.")
@click.option(
    "--record", type=click.Path(dir_okay=False, path_type=Path), help="Record file (default: named after the run)."
)
@click.pass_context
def run_command(
    ctx: click.Context, name: str, given: tuple[str, ...], yes: bool, first: int, record: Path | None
) -> None:
    """Step through a runbook: show each block, ask, run it, check its exit code, and record what was done.

    Exit 0: through to the end; 3: stopped by a person; 1: a step ended otherwise than expected (mend, then --from N).
    """
    from dr.app.runbooks import begun, keep_here
    from dr.run.clock import SystemClock
    from dr.runbook.pages import page
    from dr.runbook.stepping import Stepper

    found, clock = page(name), SystemClock()
    environment = complete(found, {**_environment(ctx), **_pairs(given)})
    run = begun(found, clock.now(), environment)
    path = record or Path(f"{run.id}.json")
    keep_here(path, run)
    stepper = Stepper(
        found, run, environment, lambda index, block: ask(found, index, block, yes), clock.now,
        lambda done: keep_here(path, done),
    )  # fmt: skip
    ended = stepper.walk(first)
    ctx.exit(tell(found, ended, path, stepper.environment))


def _environment(ctx: click.Context) -> dict[str, str]:
    """This process's own, with what the flags say; blocks call the `dr` that runs them."""
    flags = {f"DR_{key.upper()}": str(Path(value).absolute()) for key, value in ctx.obj.items() if value}
    here = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join((here, os.environ.get("PATH", os.defpath))), **flags}


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    """Raises DrError USAGE."""
    from dr.errors import USAGE, DrError

    for pair in given:
        if "=" not in pair:
            raise DrError(USAGE, f"--set {pair}: write NAME=VALUE")
    return {name: value for name, _, value in (pair.partition("=") for pair in given)}


def complete(page: Page, environment: Mapping[str, str]) -> dict[str, str]:
    """With what a person types for the variables that nobody gave. Raises DrError USAGE when nobody is there to ask."""
    from dr.errors import USAGE, DrError
    from dr.runbook.stepping import unset

    whole = dict(environment)
    for name in unset(page, environment):
        if not sys.stdin.isatty():
            raise DrError(USAGE, f"the runbook needs {name}: {page.variables[name]}", hint=f"--set {name}=...")
        whole[name] = click.prompt(f"{name} ({page.variables[name]})")
    return whole


def ask(page: Page, index: int, block: Block, yes: bool) -> Answer:
    """Show a block, and ask unless `--yes` answers for it."""
    from dr.runbook.stepping import Answer

    click.secho(f"\n[{index}/{len(page.blocks)}] {block.title}", bold=True)
    click.echo("".join(f"    {line}\n" for line in block.command.splitlines()), nl=False)
    if yes and not block.manual:
        return Answer("do", asked=False)
    question = "Do this yourself; then: done" if block.manual else "Run it"
    words = {"y": "do", "s": "skip", "q": "stop"}
    choice = click.prompt(f"{question}? y(es), s(kip), q(uit)", type=click.Choice([*words]), show_choices=False)
    return Answer(words[choice], asked=True)


def tell(page: Page, run: RunbookRun, path: Path, environment: Mapping[str, str]) -> int:
    """What came of it, and where it is recorded; the exit code."""
    for step in run.failed:
        wanted = " or ".join(map(str, step.expected))
        click.echo(f"dr: step {step.index} ({step.title}) ended with exit code {step.code}, not {wanted}", err=True)
        click.echo(f"    mend it, then: dr runbook run {page.name} --from {step.index}", err=True)
    click.echo(f"{len(run.steps)} of {len(page.blocks)} steps, a person was needed {run.interventions} times")
    kept = record_kept(run, path, environment)
    if run.failed:
        return 1
    through = run.steps and run.steps[-1].index == len(page.blocks)
    return kept if through else STOPPED


def record_kept(run: RunbookRun, path: Path, environment: Mapping[str, str]) -> int:
    """0, or 3 when the control repository did not take the record: then the file is all there is, and it says so."""
    from dr.app.runbooks import keep_in_control
    from dr.errors import DrError

    try:
        click.echo(f"recorded in {path} and {keep_in_control(run, environment)}")
    except DrError as error:
        click.echo(f"dr: recorded in {path} only: {error.message}", err=True)
        return STOPPED
    return 0
