"""What DuckDB's functions are called, which are aggregates, volatile, and which return one type whatever they get."""

from __future__ import annotations

from importlib.resources import files

from sqlglot import exp

_EXTRA_VOLATILE = {
    "current_timestamp",
    "current_time",
    "localtime",
    "localtimestamp",
    "current_localtime",
    "current_localtimestamp",
    "rand",
}
_DEPENDS_ON_CONSTANTS = {"strptime", "try_strptime"}
"""The table gives one type for these, and a format with a zone gives another."""


def _load() -> tuple[dict[str, str], frozenset[str], frozenset[str], frozenset[str]]:
    returns: dict[str, str] = {}
    known: set[str] = set()
    aggregates: set[str] = set()
    volatile: set[str] = set(_EXTRA_VOLATILE)
    for line in files("headrace.sql").joinpath("functions.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        name, kind, result = line.split("|")
        known.add(name)
        if result != "?" and name not in _DEPENDS_ON_CONSTANTS:
            returns[name] = result
        if kind.startswith("aggregate"):
            aggregates.add(name)
        if kind.endswith("volatile"):
            volatile.add(name)
    return returns, frozenset(known), frozenset(aggregates), frozenset(volatile)


RETURNS, _KNOWN, AGGREGATES, VOLATILE = _load()


def is_known_function(name: str) -> bool:
    """Whether DuckDB has a function of that (lower-case) name."""
    return name in _KNOWN


def function_name(node: exp.Func, sql: str) -> str:
    """The name as written in `sql`, lower-case: sqlglot's own node may go by another name."""
    start, end = node.meta.get("start"), node.meta.get("end")
    if start is not None and end is not None:
        return sql[start : end + 1].strip('"').lower()
    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    return node.sql_name().lower()
