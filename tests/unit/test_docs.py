"""Documentation is held to the code: what it shows parses, what it lists is complete."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from dr.cli.main import cli
from dr.errors import CATALOGUE

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "runbooks").rglob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
INLINE = re.compile(r"`(dr [a-z][^`]*)`")


def shown_commands() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for page in PAGES:
        text = page.read_text()
        lines = [
            line.removeprefix("$ ")
            for block in re.findall(r"^```(?:sh|console)?(?: [^\n`]*)?\n(.*?)^```", text, re.S | re.M)
            for line in block.splitlines()
        ]
        commands = [line for line in lines if line.startswith("dr ")] + INLINE.findall(text)
        found += [(page.name, command) for command in commands if not re.search(r"[|{\[…]| \.\.\.", command)]
    return found


def resolve(words: list[str]) -> None:
    """Walk the groups, then let the command parse its own options; nothing is run."""
    command: click.Command = cli
    context = click.Context(cli, info_name="dr")
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words) if words else (None, None, [])
        if found is None:
            return  # a group by itself shows its help
        command, context = found, click.Context(found, info_name=name, parent=context, resilient_parsing=False)
        if isinstance(command, click.Group) and (not words or words[0].startswith("-")):
            break
    command.make_parser(context).parse_args(list(words))


@pytest.mark.parametrize(("page", "command"), shown_commands())
def test_every_command_that_is_shown_parses(page: str, command: str) -> None:
    resolve(shlex.split(command, comments=True)[1:])


@pytest.mark.parametrize("kind", CATALOGUE, ids=lambda kind: kind.code)
def test_every_error_code_has_a_runbook(kind: object) -> None:
    assert f"\n## {kind.code}\n" in (ROOT / "runbooks/errors.md").read_text()  # type: ignore[attr-defined]


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_strategy_table_in_the_readme_is_the_one_that_ships() -> None:
    import importlib.util

    specification = importlib.util.spec_from_file_location("render", ROOT / "docs/render.py")
    assert specification is not None
    assert specification.loader is not None
    render = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(render)
    text = (ROOT / "README.md").read_text()
    assert "| `cluster` |" in text
    assert render.rendered(text) == text, "run: make docs"
