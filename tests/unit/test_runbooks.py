"""Runbooks as pages and as steps: what a block says, what is handed on, what is recorded, when it stops."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dr.app.runbooks import begun
from dr.cli.main import cli
from dr.errors import CATALOGUE, DAMAGED, NOT_FOUND, DrError
from dr.model.runbooks import Doing, RunbookRun
from dr.record.codec import decode, encode
from dr.runbook.pages import Block, anchor_of, folder, library, page, parse
from dr.runbook.stepping import Answer, Stepper, bash

T0 = datetime(2025, 5, 28, 10, tzinfo=UTC)
PAGE = """\
---
title: A page
covers: [appdata/source]
errors: [damaged]
env:
  T: the instant
---
# First
words
```sh
A="$T and more"
```
## Second
```sh exit=0,6 id=second
echo "$A" > "$OUT"; (exit 6)
```
```text
not run
```
### By hand
```sh manual
gcloud container clusters create
```
# Last
```sh
# no heading
echo end >> "$OUT"
```
"""


def walk(text: str, environment: dict[str, str], **answers: str) -> tuple[RunbookRun, list[RunbookRun]]:
    """Every block is done; `step3="skip"` answers otherwise, by a person."""
    found, told = parse("p", text), list[RunbookRun]()
    times = iter(T0 + timedelta(seconds=n) for n in range(100))

    def ask(index: int, block: Block) -> Answer:
        word = answers.get(f"step{index}", "do")
        return Answer(word, asked=f"step{index}" in answers or block.manual)

    stepper = Stepper(found, begun(found, T0, environment), environment, ask, lambda: next(times), told.append)
    return stepper.walk(), told


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "T": "ten o'clock", "OUT": str(tmp_path / "out")}


def test_a_page_says_what_it_is_for_and_what_its_blocks_expect() -> None:
    found = parse("p", PAGE)
    assert (found.title, found.covers, found.errors) == ("A page", ("appdata/source",), ("damaged",))
    assert dict(found.variables) == {"T": "the instant"}
    assert [(one.title, one.expected, one.manual, one.name) for one in found.blocks] == [
        ("First", (0,), False, ""),
        ("Second", (0, 6), False, "second"),
        ("By hand", (0,), True, ""),
        ("Last", (0,), False, ""),
    ]


def test_a_section_is_shown_by_its_anchor_up_to_the_next_of_its_level() -> None:
    found = parse("p", PAGE)
    assert found.section("second").count("```") == 6
    assert "Last" not in found.section("first")
    assert anchor_of("Who to tell?") == "who-to-tell"
    with pytest.raises(DrError) as refused:
        found.section("nowhere")
    assert refused.value.kind is NOT_FOUND


@pytest.mark.parametrize(
    "text",
    [
        "---\ntitle: [\n---\n",
        "---\n- a\n---\n",
        "```sh often\nls\n```\n",
        "---\ncovers: a\n---\n",
        "```sh exit=x\nls\n```\n",
    ],
)
def test_a_page_that_cannot_be_understood_is_refused_by_name(text: str) -> None:
    with pytest.raises(DrError, match="runbook p cannot be read") as refused:
        parse("p", text)
    assert refused.value.kind is DAMAGED


def test_variables_are_handed_on_and_each_step_is_recorded_at_once(env: dict[str, str]) -> None:
    run, told = walk(PAGE, env)
    assert Path(env["OUT"]).read_text() == "ten o'clock and more\nend\n"
    assert [(step.doing, step.code) for step in run.steps] == [
        (Doing.RUN, 0), (Doing.RUN, 6), (Doing.MANUAL, None), (Doing.RUN, 0),
    ]  # fmt: skip
    assert run.failed == ()
    assert run.interventions == 1, "only the manual step needed a person"
    assert [len(seen.steps) for seen in told] == [1, 2, 3, 4]
    assert decode(encode(run), RunbookRun, "here") == run


def test_i10_a_block_that_ends_otherwise_than_expected_stops_the_walk(env: dict[str, str]) -> None:
    run, _ = walk(PAGE.replace("exit=0,6", "exit=0"), env)
    assert [step.index for step in run.steps] == [1, 2]
    assert [step.index for step in run.failed] == [2]


@pytest.mark.parametrize("command", ["false\ntrue", "false | true", 'echo "$NOBODY_SET_THIS"'])
def test_i10_no_failure_inside_a_block_is_passed_over(command: str, env: dict[str, str]) -> None:
    assert bash(command, env)[0] != 0


def test_a_person_may_skip_and_stop(env: dict[str, str]) -> None:
    run, _ = walk(PAGE, env, step2="skip", step4="stop")
    assert [(step.index, step.doing) for step in run.steps] == [(1, Doing.RUN), (2, Doing.SKIPPED), (3, Doing.MANUAL)]
    assert run.interventions == 2


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def dr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    books = tmp_path / "books"
    books.mkdir()
    (books / "p.md").write_text(PAGE)
    monkeypatch.setattr("dr.runbook.pages.folder", lambda: books)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dr.yaml").write_text("apiVersion: dr/v1\nkind: Settings\nscope: lab\ncontrol: file://./control\n")
    for name in ("DR_CONFIG", "T"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OUT", str(tmp_path / "out"))

    def call(*args: str, stdin: str = "") -> Result:
        return CliRunner().invoke(cli, args, input=stdin, catch_exceptions=True)

    assert call("init", "--repositories").exit_code == 0
    return call


def test_run_asks_where_a_person_must_act_and_keeps_the_record(dr: Callable[..., Result], tmp_path: Path) -> None:
    done = dr("runbook", "run", "p", "--yes", "--set", "T=noon", "--record", "r.json", stdin="y\n")
    assert done.exit_code == 0, done.output
    assert "4 of 4 steps, a person was needed 1 times" in done.output
    kept = decode((tmp_path / "r.json").read_bytes(), RunbookRun, "r.json")
    assert (kept.runbook, kept.variables["T"], len(kept.steps)) == ("p", "noon", 4)
    (stored,) = (tmp_path / "control" / "runbooks").iterdir()
    assert encode(kept) in stored.read_bytes()


def test_run_stops_where_nobody_is_there_to_act(dr: Callable[..., Result]) -> None:
    done = dr("runbook", "run", "p", "--yes", "--set", "T=noon", stdin="")
    assert done.exit_code != 0
    assert "[4/4]" not in done.output


def test_run_goes_on_from_a_step_and_quits_on_request(dr: Callable[..., Result], tmp_path: Path) -> None:
    assert dr("runbook", "run", "p", "--set", "T=noon", "--from", "4", stdin="y\n").exit_code == 0
    assert (tmp_path / "out").read_text() == "end\n"
    assert dr("runbook", "run", "p", "--set", "T=noon", stdin="q\n").exit_code == 3


def test_a_missing_variable_is_named(dr: Callable[..., Result]) -> None:
    refused = dr("runbook", "run", "p", "--yes")
    assert isinstance(refused.exception, DrError)
    assert "needs T: the instant" in refused.exception.message


# --- the pages that ship ---------------------------------------------------------------------------------------------


def test_every_page_can_be_read_and_its_variables_are_explained() -> None:
    for found in library().values():
        used = set(re.findall(r"\$\{?([A-Z][A-Z_]+)\b", "\n".join(one.command for one in found.blocks)))
        made = set(re.findall(r"^\s*([A-Z][A-Z_]+)=", "\n".join(one.command for one in found.blocks), re.M))
        assert used - made - {"HOME"} <= set(found.variables), found.name


def test_every_error_code_is_explained_and_those_with_a_procedure_lead_to_one() -> None:
    errors = page("errors")
    for kind in CATALOGUE:
        assert errors.section(kind.code)
    known = {kind.code for kind in CATALOGUE}
    for found in library().values():
        assert set(found.errors) <= known, found.name
        for code in found.errors:
            assert f"]({found.name}.md" in errors.section(code), f"errors.md#{code} does not lead to {found.name}"


def test_the_pages_are_where_the_package_looks_for_them() -> None:
    assert (folder() / "errors.md").is_file()


def test_links_and_names_in_the_pages_lead_somewhere() -> None:
    pages = library()
    for found in pages.values():
        for target, anchor in re.findall(r"\]\(([a-z-]+)\.md(?:#([a-z-]+))?\)", found.text):
            assert target in pages, f"{found.name} leads to {target}"
            assert not anchor or pages[target].section(anchor)
