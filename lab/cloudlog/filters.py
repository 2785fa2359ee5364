"""Cloud Logging's query language, as much of it as sinks and readers of entries use; what is not known is refused.

NOT binds most, then OR, then AND, which may be left out. Text is compared without regard to case.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.cloudlog.book import nanoseconds

LONGEST = 20_000
SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
TIMES = ("timestamp", "receiveTimestamp")
_TOKEN = re.compile(
    r"""\s*(?:--[^\n]*(?:\n|$)\s*)*(?:
        (?P<quoted>"(?:[^"\\]|\\.)*") | (?P<bracket>[()]) | (?P<operator>!=|>=|<=|=~|!~|[:=<>]) | (?P<word>[^\s()"=:<>!]+))""",
    re.VERBOSE,
)
_ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
Wants = Callable[[Mapping[str, Any]], bool]


class Unparseable(ValueError):
    """400 INVALID_ARGUMENT."""


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str


def parse(text: str) -> Wants:
    """What an entry must be. Raises Unparseable."""
    if len(text) > LONGEST:
        raise Unparseable(f"the filter is longer than {LONGEST} characters")
    parser = _Parser(_tokens(text))
    if not parser.tokens:
        return lambda _: True
    wants = parser.all_of()
    if parser.tokens:
        raise Unparseable(f"unexpected {parser.tokens[0].text!r}")
    return wants


def _tokens(text: str) -> list[Token]:
    found, position = list[Token](), 0
    rest = re.compile(r"\s*(?:--[^\n]*(?:\n|$)\s*)*")
    while (position := rest.match(text, position).end()) < len(text):  # type: ignore[union-attr]
        token = _TOKEN.match(text, position)
        if token is None:
            raise Unparseable(f"syntax error at column {position + 1}")
        kind = str(token.lastgroup)
        found.append(Token(kind, token.group(kind)))
        position = token.end()
    return found


class _Parser:
    """Recursive descent; what is read is taken off `tokens`."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens

    def all_of(self) -> Wants:
        parts = [self._any_of()]
        while self.tokens and self.tokens[0].text != ")":
            if self._is("AND"):
                self.tokens.pop(0)
            parts.append(self._any_of())
        return lambda entry: all(part(entry) for part in parts)

    def _any_of(self) -> Wants:
        parts = [self._one()]
        while self._is("OR"):
            self.tokens.pop(0)
            parts.append(self._one())
        return lambda entry: any(part(entry) for part in parts)

    def _one(self) -> Wants:
        if self._is("NOT"):
            self.tokens.pop(0)
            unwanted = self._one()
            return lambda entry: not unwanted(entry)
        if self.tokens and self.tokens[0].text == "(" and self.tokens[0].kind == "bracket":
            self.tokens.pop(0)
            inner = self.all_of()
            self._take("bracket", ")")
            return inner
        return self._comparison()

    def _comparison(self) -> Wants:
        left = self._value()
        if not self.tokens or self.tokens[0].kind != "operator":
            sought = _unquoted(left).casefold()
            return lambda entry: sought in json.dumps(entry, ensure_ascii=False).casefold()
        if left.kind == "quoted":
            raise Unparseable(f"{left.text} is no field")
        sign = self.tokens.pop(0).text
        return compared(left.text, sign, _unquoted(self._value()))

    def _value(self) -> Token:
        if not self.tokens or self.tokens[0].kind not in ("word", "quoted") or self._is("AND") or self._is("OR"):
            raise Unparseable(f"unexpected {self.tokens[0].text!r}" if self.tokens else "unexpected end of the filter")
        return self.tokens.pop(0)

    def _take(self, kind: str, text: str) -> None:
        if not self.tokens or (self.tokens[0].kind, self.tokens[0].text) != (kind, text):
            raise Unparseable(f"{text!r} is missing")
        self.tokens.pop(0)

    def _is(self, word: str) -> bool:
        return bool(self.tokens) and (self.tokens[0].kind, self.tokens[0].text) == ("word", word)


def _unquoted(token: Token) -> str:
    return re.sub(r"\\(.)", r"\1", token.text[1:-1]) if token.kind == "quoted" else token.text


def compared(field: str, sign: str, wanted: str) -> Wants:
    """One comparison. A field that is not there is nothing but unequal."""
    if sign in ("=~", "!~"):
        try:
            pattern = re.compile(wanted)
        except re.error as error:
            raise Unparseable(f"{wanted!r} is no regular expression: {error}") from None
        return lambda entry: bool(pattern.search(str(_field(entry, field) or ""))) == (sign == "=~")
    if sign == ":":
        return lambda entry: _has(_field(entry, field), wanted)
    judge, order = _ORDERED[sign], _order(field)
    try:
        limit = order(wanted)
    except ValueError as error:
        raise Unparseable(str(error)) from None
    return lambda entry: _judged(_field(entry, field), judge, order, limit) if _there(entry, field) else sign == "!="


def _judged(value: Any, judge: Callable[[Any, Any], bool], order: Callable[[str], Any], limit: Any) -> bool:
    try:
        return judge(order(str(value)), limit)
    except (ValueError, TypeError):
        return False


def _order(field: str) -> Callable[[str], Any]:
    if field in TIMES:
        return nanoseconds
    if field == "severity":
        return _severity
    return str.casefold


def _severity(name: str) -> int:
    if name.upper() not in SEVERITIES:
        raise ValueError(f"{name!r} is no severity")
    return SEVERITIES.index(name.upper())


def _there(entry: Mapping[str, Any], path: str) -> bool:
    return _field(entry, path) is not None


def _field(entry: Mapping[str, Any], path: str) -> Any:
    value: Any = entry
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _has(value: Any, wanted: str) -> bool:
    if value is None:
        return False
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return wanted == "*" or wanted.casefold() in text.casefold()
