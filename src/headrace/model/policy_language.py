"""The language of policy: `consumers_crossing_domain > 0 or rows > 1e6 or weakens or tag:x`."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import msgspec

from headrace.model.errors import UsageError, did_you_mean
from headrace.model.fields import size_in_bytes
from headrace.model.policy import FLAGS, NAMES, NUMBERS, Consequence

RULE_CHARACTERS_MAX = 2_000
RULE_DEPTH_MAX = 40
COMBINATIONS_MAX = 20_000
NAMES_TRIED_MAX = 8
Rule: TypeAlias = Callable[[Consequence], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d[\d_]*(?:\.\d+)?(?:[eE]\+?\d{1,2})?\s*(?:[KMGT]i?B|B)?)(?![\w.])"
    r"|(?P<sign>[<>=!]=|[<>=()])|(?P<word>[^\s()<>=!]+))",
    re.ASCII,
)
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    "=": lambda left, right: left == right,
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
}
_HINT = (
    f'write it like "partitions > 100 or tag:regulated": {", ".join(NUMBERS)}; {", ".join(FLAGS)};'
    f" {', '.join(f'{name}:' for name in NAMES)}; and, or, not, ( )"
)


def parse_rule(text: str) -> Rule:
    """Parse a rule. Raises UsageError, which quotes the invalid part."""
    return _parsed(text).rule


class _Parsed(msgspec.Struct, frozen=True):
    rule: Rule
    limits: Mapping[str, set[float]]
    """The numbers that each of `NUMBERS` is compared with."""
    flags: frozenset[str]
    names: frozenset[tuple[str, str]]


def _parsed(text: str) -> _Parsed:
    if len(text) > RULE_CHARACTERS_MAX:
        raise UsageError(
            f"a rule of {len(text):,} characters is too long",
            hint=f"at most {RULE_CHARACTERS_MAX:,}",
        )
    reader = _Reader(_tokens(text))
    rule = reader.either(0)
    if reader.next is not None:
        raise UsageError(f"{reader.next[:40]!r} has nothing before it to belong to", hint=_HINT)
    return _Parsed(rule, reader.limits, frozenset(reader.flags), frozenset(reader.names))


def names_in(text: str) -> list[tuple[str, str]]:
    """Return the (`tag`, `owner` or `domain`; name) that a valid rule is about."""
    return sorted(_parsed(text).names)


def numbers_in(text: str) -> frozenset[str]:
    """Return the names of `NUMBERS` that a valid rule compares."""
    return frozenset(_parsed(text).limits)


_Choices: TypeAlias = list[tuple[str, object]]


def constant(text: str) -> bool | None:
    """Return the value of a valid rule that has the same one for every plan; None if it hasn't.

    A rule with too many conditions to try all combinations counts as one that varies.
    """
    parsed = _parsed(text)
    if len(parsed.names) > NAMES_TRIED_MAX:
        return None
    choices: list[_Choices] = [
        *(_values(name, limits) for name, limits in parsed.limits.items()),
        *map(_flag_values, sorted(parsed.flags)),
        *(_subsets(kind, parsed.names) for kind in sorted({kind for kind, _ in parsed.names})),
    ]
    if math.prod(map(len, choices)) > COMBINATIONS_MAX:
        return None
    results = {parsed.rule(_with(combination)) for combination in itertools.product(*choices)}
    return results.pop() if len(results) == 1 else None


def _values(name: str, limits: Iterable[float]) -> _Choices:
    """Return a number's values at, below and above each limit."""
    values = {0.0, *(limit + step for limit in limits for step in (-1, 0, 1))}
    return [(name, value) for value in sorted(values) if value >= 0]


def _flag_values(name: str) -> _Choices:
    return [(name, ("x",)), (name, ())]


def _subsets(kind: str, names: Iterable[tuple[str, str]]) -> _Choices:
    """Return each set of the names of a kind."""
    of_kind = sorted(name for other, name in names if other == kind)
    return [
        (f"{kind}s", subset)
        for length in range(len(of_kind) + 1)
        for subset in itertools.combinations(of_kind, length)
    ]


def _with(values: Iterable[tuple[str, object]]) -> Consequence:
    return _Trial(dict(values))  # type: ignore[return-value]


class _Trial:
    """A consequence of chosen values, which needn't fit together."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> object:
        return self._values.get(name, ())

    def number(self, name: str) -> object:
        return self._values.get(name, 0)

    def has(self, kind: str, name: str) -> bool:
        value = self._values.get(f"{kind}s", ())
        return isinstance(value, tuple) and name in value


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
    """Recursive descent parser; precedence from low to high: `or`, `and`, `not`."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._at = tokens, 0
        self.limits: dict[str, set[float]] = {}
        self.flags: set[str] = set()
        self.names: set[tuple[str, str]] = set()

    @property
    def next(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def either(self, depth: int) -> Rule:
        if depth > RULE_DEPTH_MAX:
            raise UsageError(f"more than {RULE_DEPTH_MAX} levels of brackets", hint=_HINT)
        rules = [self._both(depth)]
        while self._accepts("or"):
            rules.append(self._both(depth))
        return rules[0] if len(rules) == 1 else lambda facts: any(rule(facts) for rule in rules)

    def _both(self, depth: int) -> Rule:
        rules = [self._operand(depth)]
        while self._accepts("and"):
            rules.append(self._operand(depth))
        return rules[0] if len(rules) == 1 else lambda facts: all(rule(facts) for rule in rules)

    def _operand(self, depth: int) -> Rule:
        negated = False
        while self._accepts("not"):
            negated = not negated
        rule = self._bracketed(depth) if self._accepts("(") else self._fact()
        return (lambda facts: not rule(facts)) if negated else rule

    def _bracketed(self, depth: int) -> Rule:
        rule = self.either(depth + 1)
        if not self._accepts(")"):
            raise UsageError("a bracket isn't closed", hint=_HINT)
        return rule

    def _fact(self) -> Rule:
        word = self._take("a condition")
        name = word.lower()
        if name in NUMBERS:
            return self._compared(name)
        if name in FLAGS:
            return self._flag(name)
        kind, colon, value = word.partition(":")
        if colon and value and kind in NAMES:
            self.names.add((kind, value))
            return lambda facts: facts.has(kind, value)
        known = did_you_mean(word, [*NUMBERS, *FLAGS])
        raise UsageError(
            f"{word[:40]!r} isn't a condition", hint=f"{known}; {_HINT}" if known else _HINT
        )

    def _flag(self, name: str) -> Rule:
        if self.next in _SIGNS:
            raise UsageError(f"`{name}` holds or doesn't: it isn't compared", hint=_HINT)
        self.flags.add(name)
        return lambda facts: bool(getattr(facts, name))

    def _compared(self, what: str) -> Rule:
        sign = self._take(f"a comparison after `{what}`")
        if sign not in _SIGNS:
            raise UsageError(
                f"`{what}` is compared with > >= < <= = or !=, not {sign[:40]!r}", hint=_HINT
            )
        number, compare = _number(self._take(f"a number after `{what} {sign}`"), what), _SIGNS[sign]
        self.limits.setdefault(what, set()).add(number)
        return lambda facts: compare(facts.number(what), number)

    def _accepts(self, word: str) -> bool:
        result = self.next is not None and self.next.lower() == word
        self._at += result
        return result

    def _take(self, what: str) -> str:
        word = self.next
        if word is None:
            raise UsageError(f"the rule ends where {what} is expected", hint=_HINT)
        self._at += 1
        return word


_WHOLE = re.compile(r"\d+(?:\.\d+)?(?:[eE]\+?\d{1,2})?", re.ASCII)


def _number(text: str, what: str) -> float:
    plain = text.replace("_", "")
    if plain.isdecimal():
        return int(plain)
    if _WHOLE.fullmatch(plain):
        number = float(plain)
        if number.is_integer():
            return int(number)
    elif what == "bytes":
        return size_in_bytes(plain)
    raise UsageError(f"{text[:40]!r} isn't a whole number", hint=_HINT)
