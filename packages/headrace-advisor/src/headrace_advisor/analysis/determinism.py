"""Which parts of a query may give something else when it runs again."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from headrace.sql.types import VOLATILE, is_known_function

_TIME_AND_CHANCE = (
    exp.CurrentDate, exp.CurrentTimestamp, exp.CurrentTimestampLTZ, exp.CurrentTime,
    exp.CurrentDatetime, exp.Localtime, exp.Localtimestamp, exp.Systimestamp, exp.UtcDate,
    exp.UtcTime, exp.UtcTimestamp, exp.Rand, exp.Randn, exp.Randstr, exp.Uuid, exp.Uniform,
    exp.Normal, exp.Zipf, exp.TableSample, exp.NextValueFor, exp.Seq1, exp.Seq2, exp.Seq4,
    exp.Seq8, exp.CurrentUser, exp.SessionUser, exp.CurrentSchema, exp.CurrentDatabase,
)  # fmt: skip
_NAMES = frozenset(
    ("now", "getdate", "getutcdate", "sysdate", "sysdatetime", "sysutcdatetime", "today",
     "sysdatetimeoffset", "clock_timestamp", "statement_timestamp", "timeofday", "random", "rand",
     "newid", "newsequentialid", "uuid", "gen_random_uuid", "generate_uuid", "nextval", "currval",
     "uuid_generate_v4", "setseed", "monotonically_increasing_id", "current_setting", "version",
     "pg_sleep", "txid_current", "lastval", "last_insert_id", "connection_id", "unix_timestamp")
)  # fmt: skip
_ROW_COLUMNS = frozenset(("rowid", "rownum", "ctid"))
_HARMLESS = frozenset(
    ("count_big", "datefromparts", "eomonth", "charindex", "patindex", "isnull", "nvl", "len",
     "datalength", "iif", "choose", "dateadd", "datediff", "datepart", "year", "month", "day",
     "regexp_matches", "safe_divide", "format", "stuff", "replicate", "space", "sign", "to_number",
     "to_char", "to_date", "to_timestamp", "decode", "instr", "trunc", "round", "ifnull", "concat")
)  # fmt: skip
"""Functions of databases that sqlglot doesn't know by name, and that always give the same."""


def is_repeatable(value: exp.Expr) -> bool:
    """Whether an expression gives the same for the same columns, as far as its functions tell."""
    return next(_unrepeatable(value), None) is None


def _unrepeatable(tree: exp.Expr) -> Iterator[exp.Expr]:
    for node in tree.walk():
        if isinstance(node, _TIME_AND_CHANCE) or _is_unknown_function(node) or _is_row(node):
            yield node


def _is_row(node: exp.Expr) -> bool:
    """Whether a column says where the database keeps a row."""
    return isinstance(node, exp.Column) and not node.table and node.name.lower() in _ROW_COLUMNS


def _is_unknown_function(node: exp.Expr) -> bool:
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
        return True  # a function of a schema: the user's
    if not isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        return False
    name = str(node.name).lower()
    if name in _NAMES or name in VOLATILE:
        return True
    return name not in _HARMLESS and not is_known_function(name)


def unrepeatable_functions(tree: exp.Expr, dialect: str) -> list[str]:
    """Return what a statement calls that may give something else in each run, in words."""
    texts = (node.sql(dialect)[:60] for node in _unrepeatable(tree))
    return list(dict.fromkeys(f"`{text}` gives the same in each run" for text in texts))
