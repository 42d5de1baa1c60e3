"""The language of `[policy]` in headrace.toml: `partitions > 100 or tag:regulated`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from headrace.model.errors import UsageError
from headrace.model.nodes import Value
from headrace.model.sizes import size_in_bytes

APPROVAL = "backfill_approval"
"""The rule that says which backfills, and which runs, somebody else has to approve."""
RULES = (APPROVAL,)
CHARACTERS_MAX = 2_000
DEPTH_MAX = 40
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d[\d_]*(?:\.\d+)?\s*(?:[KMGT]i?B|B)?)(?![\w.])|(?P<sign>[<>=!]=|[<>=()])|(?P<word>[^\s()<>=!]+))", re.ASCII
)
_SIGNS: dict[str, Callable[[int, int], bool]] = {
    ">": lambda item, other: item > other, ">=": lambda one, other: one >= other, "<": lambda one, other: one < other,
    "<=": lambda item, other: item <= other, "=": lambda one, other: one == other, "==": lambda one, other: one == other,
    "!=": lambda item, other: item != other,
}  # fmt: skip
_HINT = 'write it like "partitions > 100 or tag:regulated": partitions, bytes, tag:, owner:, domain:, and, or, not, ( )'


class Approval(msgspec.Struct, frozen=True):
    """The rule that asks for an approval, and its location."""

    rule: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {APPROVAL} = {self.rule!r}"


class Facts(Value, kw_only=True):
    """What rules are about: how much is made, and of which nodes."""

    partitions: int
    bytes: int = 0
    """As estimated; 0 where it isn't known."""
    tags: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()


Rule: TypeAlias = Callable[[Facts], bool]


def parse_rule(text: str) -> Rule:
    """A rule as it is written. UsageError, with what stands there, for what is none."""
    if len(text) > CHARACTERS_MAX:
        raise UsageError(f"a rule of {len(text):,} characters is too long", hint=f"at most {CHARACTERS_MAX:,}")
    reader = _Reader(_tokens(text))
    rule = reader.either(0)
    if reader.next is not None:
        raise UsageError(f"{reader.next[:40]!r} has nothing before it to belong to", hint=_HINT)
    return rule


def _tokens(text: str) -> list[str]:
    results, at, end = [], 0, len(text.rstrip())
    while at < end:
        token = _TOKEN.match(text, at)
        if token is None:
            raise UsageError(f"{text[at : at + 20].strip()!r} isn't understood", hint=_HINT)
        results.append(token.group().strip())
        at = token.end()
    return results


class _Reader:
    """Reads tokens from left to right: `or` binds least, then `and`, then `not`."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._at = tokens, 0

    @property
    def next(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def either(self, depth: int) -> Rule:
        if depth > DEPTH_MAX:
            raise UsageError(f"more than {DEPTH_MAX} levels of brackets", hint=_HINT)
        rules = [self._both(depth)]
        while self._taken("or"):
            rules.append(self._both(depth))
        return rules[0] if len(rules) == 1 else lambda facts: any(rule(facts) for rule in rules)

    def _both(self, depth: int) -> Rule:
        rules = [self._one(depth)]
        while self._taken("and"):
            rules.append(self._one(depth))
        return rules[0] if len(rules) == 1 else lambda facts: all(rule(facts) for rule in rules)

    def _one(self, depth: int) -> Rule:
        negated = False
        while self._taken("not"):
            negated = not negated
        rule = self._bracketed(depth) if self._taken("(") else self._fact()
        return (lambda facts: not rule(facts)) if negated else rule

    def _bracketed(self, depth: int) -> Rule:
        rule = self.either(depth + 1)
        if not self._taken(")"):
            raise UsageError("a bracket isn't closed", hint=_HINT)
        return rule

    def _fact(self) -> Rule:
        word = self._take("a condition")
        if word.lower() in ("partitions", "bytes"):
            return self._compared(word.lower())
        kind, colon, name = word.partition(":")
        if colon and name and kind in ("tag", "owner", "domain"):
            return lambda facts: name in getattr(facts, f"{kind}s")
        raise UsageError(f"{word[:40]!r} isn't a condition", hint=_HINT)

    def _compared(self, what: str) -> Rule:
        sign = self._take(f"a comparison after `{what}`")
        if sign not in _SIGNS:
            raise UsageError(f"`{what}` is compared with > >= < <= = or !=, not {sign[:40]!r}", hint=_HINT)
        number, compare = _number(self._take(f"a number after `{what} {sign}`"), what), _SIGNS[sign]
        return lambda facts: compare(getattr(facts, what), number)

    def _taken(self, word: str) -> bool:
        result = self.next is not None and self.next.lower() == word
        self._at += result
        return result

    def _take(self, what: str) -> str:
        word = self.next
        if word is None:
            raise UsageError(f"the rule ends where {what} is expected", hint=_HINT)
        self._at += 1
        return word


def _number(text: str, what: str) -> int:
    plain = text.replace("_", "")
    if plain.isdecimal():
        return int(plain)
    if what == "bytes":
        return size_in_bytes(plain)
    raise UsageError(f"{text[:40]!r} isn't a whole number", hint=_HINT)
