"""Similarity of two column names: word by word, with abbreviations, word order and spelling."""

from __future__ import annotations

import functools
import re
import unicodedata
from difflib import SequenceMatcher

WORDS_MAX = 12
"""The maximum number of words of a name that are compared."""
CHARACTERS_MAX = 120
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")
_ALIKE = 0.82
"""The minimum spelling similarity of two words that count as one, mistyped or inflected."""
_SYNONYMS = (
    "id identifier key number no num nr",
    "qty quantity count amount units",
    "amt amount value sum total",
    "dt date day",
    "ts time timestamp moment",
    "created opened added",
    "updated modified changed",
    "cust customer client buyer",
    "supplier vendor seller",
    "addr address",
    "tel phone telephone mobile",
    "mail email",
    "zip postcode postal plz",
    "dob birthdate birthday",
    "desc description text details",
    "type kind category class",
    "state province region",
    "country nation",
    "name label title",
    "price cost rate charge",
    "start begin from first",
    "end finish to last until",
    "lat latitude",
    "lon lng long longitude",
    "status state condition",
    "firm company organisation organization org",
    "worker employee staff",
    "cases infections confirmed",
    "deaths fatalities died",
    "dep departure",
    "arr arrival",
    "dest destination",
    "orig origin",
    "pct percent percentage share ratio",
    "avg average mean",
    "temp temperature",
    "dist distance",
    "wt weight",
    "ccy currency",
    "acct account",
    "txn transaction",
    "gender sex",
    "flag indicator is",
)


@functools.lru_cache(maxsize=8_192)
def words(name: str) -> tuple[str, ...]:
    """Return the words of a name: `depDelay`, `dep_delay` and `Dep. delay` are `dep`, `delay`."""
    plain = "".join(
        sign
        for sign in unicodedata.normalize("NFKD", name[:CHARACTERS_MAX])
        if not unicodedata.combining(sign)
    )
    return tuple(word.casefold() for word in _WORD.findall(plain)[:WORDS_MAX])


@functools.cache
def _groups() -> dict[str, frozenset[int]]:
    results: dict[str, set[int]] = {}
    for number, line in enumerate(_SYNONYMS):
        for word in line.split():
            results.setdefault(word, set()).add(number)
    return {word: frozenset(numbers) for word, numbers in results.items()}


def similarity(item: str, other: str) -> float:
    """Return the similarity of two names: 0 for nothing in common, 1 for the same words."""
    first, second = words(item), words(other)
    if not first or not second:
        return 0.0
    if "".join(first) == "".join(second):
        return 1.0
    forth, back = _covered(first, second), _covered(second, first)
    together = (forth * _weight(first) + back * _weight(second)) / (
        _weight(first) + _weight(second)
    )
    initials = 0.7 if _initials(first, second) or _initials(second, first) else 0.0
    return max(together, initials)


def _covered(words_of_one: tuple[str, ...], others: tuple[str, ...]) -> float:
    """Return the weighted share of one name's words that the other name has too."""
    return sum(
        _weight((word,)) * max(_word(word, other) for other in others) for word in words_of_one
    ) / _weight(words_of_one)


def _weight(some: tuple[str, ...]) -> float:
    """Return the total weight of words; `id` and `1` weigh less than long words."""
    return float(sum(1.0 if len(word) > 2 and not word.isdecimal() else 0.6 for word in some))


@functools.lru_cache(maxsize=65_536)
def _word(item: str, other: str) -> float:
    if item == other:
        return 1.0
    if item.isdecimal() or other.isdecimal():
        return 0.0
    groups = _groups()
    if groups.get(item, frozenset()) & groups.get(other, frozenset()):
        return 0.85
    if _abbreviates(item, other) or _abbreviates(other, item):
        return 0.85
    ratio = SequenceMatcher(None, item, other, autojunk=False).ratio()
    return ratio if ratio >= _ALIKE and min(len(item), len(other)) > 3 else 0.0


def _abbreviates(short: str, full: str) -> bool:
    """Return whether `short` abbreviates: `dep` (departure), `qty` (quantity), `cnt` (count).

    Both have the same first letter, and the other letters follow in order. Single letters don't
    count.
    """
    if len(short) < 2 or len(short) >= len(full) or short[0] != full[0]:
        return False
    if full.startswith(short):
        return True
    letters = iter(full)
    return (
        len(short) <= len(full) * 0.75
        and all(letter in letters for letter in short)
        and not set(short[1:]) & set("aeiou")
    )


def _initials(short: tuple[str, ...], full: tuple[str, ...]) -> bool:
    """Return whether `short` is an acronym of `full`, as `dob` is of `date_of_birth`."""
    return (
        len(short) == 1
        and len(full) > 1
        and len(short[0]) == len(full)
        and short[0] == "".join(word[0] for word in full)
    )
