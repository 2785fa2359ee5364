"""A search for the last clean point: as items and as a sheet."""

from __future__ import annotations

from collections.abc import Iterator

from dr.model.bisecting import Answer, Bisection, Finding, Guess
from dr.model.timeline import format_instant
from dr.plan.bisecting import most_guesses
from dr.report import words
from dr.report.envelope import Item, check_item, when
from dr.report.sheet import Cell, Sheet, Tone, cell, columns_of

KIND = "Bisection"
_TONES = {Answer.CLEAN: Tone.GOOD, Answer.BAD: Tone.BAD, Answer.UNKNOWN: Tone.WARN, Answer.BROKEN: Tone.BAD}


def guess_item(guess: Guess) -> Item:
    """One copy and what the check said."""
    return {
        "number": guess.number,
        "candidate": when(guess.candidate),
        "restored": [when(at) for at in guess.restored],
        "points": list(guess.points),
        "answer": str(guess.answer),
        "exit_code": guess.exit_code,
        "output": {"sha256": guess.sha256, "tail": guess.tail},
        "restore_s": guess.restore_s,
        "check_s": guess.check_s,
        "cost_usd": guess.cost_usd,
        "why": guess.why,
    }


def header(found: Bisection) -> Item:
    """What is true of the whole search."""
    order = found.order
    return {
        "id": order.id,
        "command": order.command,
        "components": list(order.components),
        "domain": str(order.domain),
        "begun": when(order.begun),
        "ended": when(found.ended),
        "by": order.by,
        "finding": str(found.finding),
        "last_clean": when(found.last_clean),
        "first_bad": when(found.first_bad),
        "candidates": len(order.candidates),
        "restores": len(found.guesses),
        "most": most_guesses(len(order.candidates), order.confirm),
        "untold": found.untold,
        "monotone": not found.contradictions,
        "contradictions": list(found.contradictions),
        "cost_usd": sum(guess.cost_usd for guess in found.guesses),
        "teardown": [check_item(check) for check in found.teardown],
    }


def bisection_sheet(found: Bisection, *, wide: bool = False) -> Sheet:
    """A line for each copy in the order of asking, and what they come to."""
    columns = columns_of(">no", "candidate", "from", "answer", ">exit", ">restored in", ">checked in", ">cost")
    return Sheet(columns, tuple(map(_row, found.guesses)), tuple(_notes(found, wide)))


def _row(guess: Guess) -> tuple[Cell, ...]:
    return (
        cell(guess.number),
        cell(format_instant(guess.candidate)),
        cell(", ".join(point.rpartition("/")[2].removesuffix(".json") for point in guess.points)),
        cell(guess.answer, _TONES[guess.answer]),
        cell(words.NOTHING if guess.exit_code is None else guess.exit_code),
        cell(words.span(guess.restore_s)),
        cell(words.span(guess.check_s)),
        cell(f"{guess.cost_usd:.4f} $"),
    )


def _notes(found: Bisection, wide: bool) -> Iterator[str]:
    yield f"{found.order.id}: {sentence(found)}"
    if found.untold:
        yield f"between them {found.untold} could not be told"
    yield from found.contradictions
    for guess in found.guesses:
        if guess.why:
            yield f"{guess.number}: {guess.why}"
        if wide and guess.sha256:
            yield f"{guess.number}: output sha256 {guess.sha256}: {guess.tail[-200:].strip()}"
    yield from (f"LEFT BEHIND: {check.name}: {check.detail}" for check in found.teardown if not check.passed)


def sentence(found: Bisection) -> str:
    """The result."""
    restores = f"{len(found.guesses)} of {len(found.order.candidates)} candidates restored"
    if found.finding is Finding.FOUND:
        return f"last clean {words.instant(found.last_clean)}, first bad {words.instant(found.first_bad)}; {restores}"
    if found.finding is Finding.NOTHING_BAD:
        return f"the newest, {words.instant(found.last_clean)}, is clean: there is nothing to search for; {restores}"
    if found.finding is Finding.NOTHING_CLEAN:
        return (
            f"the oldest that can be told, {words.instant(found.first_bad)}, is bad: what is clean is older; {restores}"
        )
    return f"no clean and bad copy that the check could tell apart; {restores}"
