"""Format 1 of a search for the last clean point."""

from __future__ import annotations

from dr.model.bisecting import Answer, Bisection, BisectOrder, Finding, Guess
from dr.record.nouns import check, domain
from dr.record.shapes import duration, enumeration, instant, integer, many, number, optional, record, text

order = record(
    BisectOrder,
    id=text,
    command=text,
    components=many(text),
    domain=domain,
    candidates=many(instant),
    begun=instant,
    by=text,
    strategy_sha256=text,
    timeout=duration,
    max_cost_usd=optional(number),
    confirm=integer,
)
guess = record(
    Guess,
    number=integer,
    candidate=instant,
    restored=many(instant),
    points=many(text),
    answer=enumeration(Answer),
    exit_code=optional(integer),
    sha256=text,
    tail=text,
    restore_s=number,
    check_s=number,
    cost_usd=number,
    why=text,
)
bisection = record(
    Bisection,
    order=order,
    finding=enumeration(Finding),
    last_clean=optional(instant),
    first_bad=optional(instant),
    guesses=many(guess),
    contradictions=many(text),
    untold=integer,
    teardown=many(check),
    ended=instant,
)
