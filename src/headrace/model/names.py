"""Which names nodes and owners may have."""

from __future__ import annotations

import re

from headrace.model.reporting import Report, shown

NODE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
CONSUMER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
COLUMN_CHARACTERS_MAX = 255

_KEYWORDS = (
    "all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast check collate collation "
    "column concurrently constraint create cross default deferrable desc describe distinct do else end except false fetch for foreign "
    "freeze from full glob group having ilike in initially inner intersect into is isnull join lambda lateral leading left like limit "
    "natural not notnull null offset on only or order outer overlaps pivot pivot_longer pivot_wider placing positional primary qualify "
    "references returning right select semi show similar some summarize symmetric table tablesample then to trailing true union unique "
    "unpack unpivot using variadic verbose when where window with"
)
SQL_KEYWORDS = frozenset(_KEYWORDS.split())
"""Words that can't stand in FROM without quotes, as DuckDB 1.5.5 has them."""

_SYSTEM = frozenset({"self", "_partition", "headrace", "main", "temp", "system", "information_schema", "pg_catalog"})
_SYSTEM_PREFIXES = ("__", "_headrace", "ducklake_")


def check_node(name: str, line: int, report: Report, what: str) -> bool:
    """Whether a source or asset may be called so; if not, `report` says why."""
    if not NODE.fullmatch(name):
        _refuse(name, line, report, what, "letters, digits and `_`, not beginning with a digit, at most 63")
        return False
    return _not_taken(name, line, report, what)


def check_consumer(name: str, line: int, report: Report) -> bool:
    """Whether a consumer may be called so."""
    if not CONSUMER.fullmatch(name):
        _refuse(name, line, report, "consumer", "letters, digits, `_` and `-`, not beginning with a digit, at most 63")
        return False
    return _not_taken(name, line, report, "consumer")


def check_owner(name: str, line: int, report: Report) -> bool:
    """Whether an owner may be called so."""
    if OWNER.fullmatch(name):
        return True
    _refuse(name, line, report, "owner", "letters, digits, `_`, `-` and `.`, at most 63")
    return False


def is_system(name: str) -> bool:
    """Whether Headrace or DuckDB uses that name itself."""
    lowered = name.lower()
    return lowered in _SYSTEM or lowered.startswith(_SYSTEM_PREFIXES)


def _not_taken(name: str, line: int, report: Report, what: str) -> bool:
    if name.lower() in SQL_KEYWORDS and what != "consumer":
        report.error("reserved_name", line, f"{shown(name)} is a word of SQL and can't name {_a(what)}", f"for example `{name}_data`")
        return False
    if is_system(name):
        report.error("reserved_name", line, f"{shown(name)} is a name that Headrace or DuckDB uses itself", "choose another name")
        return False
    return True


def _refuse(name: str, line: int, report: Report, what: str, rule: str) -> None:
    report.error("bad_name", line, f"{shown(name)} can't name {_a(what)}", f"a name has {rule}")


def _a(what: str) -> str:
    return f"an {what}" if what[0] in "aeiou" else f"a {what}"
