"""Parts of SQL that depend on the run, or that mean something else in DuckDB than at the origin.

A query with such a part gives other rows here although DuckDB accepts it. sqlglot translates most
differences between dialects; these are the ones that it leaves. One guard for all importers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types

_TEXT_CHARACTERS_MAX = 60

# What depends on the run

_TIME = (
    exp.CurrentDate, exp.CurrentTimestamp, exp.CurrentTimestampLTZ, exp.CurrentTime,
    exp.CurrentDatetime, exp.Localtime, exp.Localtimestamp, exp.Systimestamp, exp.UtcDate,
    exp.UtcTime, exp.UtcTimestamp,
)  # fmt: skip
_CHANCE = (
    exp.Rand, exp.Randn, exp.Randstr, exp.Uuid, exp.Uniform, exp.Normal, exp.Zipf, exp.TableSample,
    exp.NextValueFor, exp.Seq1, exp.Seq2, exp.Seq4, exp.Seq8,
)  # fmt: skip
_SESSION = (
    exp.CurrentAccount, exp.CurrentCatalog, exp.CurrentDatabase, exp.CurrentRole,
    exp.CurrentSchema, exp.CurrentSchemas, exp.CurrentSession, exp.CurrentTimezone,
    exp.CurrentTransaction, exp.CurrentUser, exp.CurrentUserId, exp.CurrentVersion,
    exp.CurrentWarehouse, exp.CurrentRegion, exp.SessionUser, exp.SessionParameter,
)  # fmt: skip
_TIME_NAMES = frozenset(
    ("now", "getdate", "getutcdate", "sysdate", "sysdatetime", "sysutcdatetime", "today",
     "sysdatetimeoffset", "systimestamp", "current_localtimestamp", "current_localtime",
     "localtimestamp", "unix_timestamp", "clock_timestamp", "statement_timestamp", "timeofday",
     "transaction_timestamp", "get_current_timestamp", "get_current_time", "curdate", "curtime",
     "utc_timestamp", "utc_date", "utc_time")
)  # fmt: skip
_CHANCE_NAMES = frozenset(
    ("random", "rand", "newid", "newsequentialid", "uuid", "uuidv4", "uuidv7", "gen_random_uuid",
     "generate_uuid", "uuid_generate_v1", "uuid_generate_v4", "setseed", "nextval",
     "monotonically_increasing_id", "spark_partition_id", "generateuuidv4", "random_uuid")
)  # fmt: skip
_SESSION_NAMES = frozenset(
    ("current_setting", "pg_backend_pid", "txid_current", "pg_current_xact_id", "lastval",
     "currval", "last_insert_id", "last_insert_rowid", "connection_id", "inet_client_addr",
     "inet_server_addr", "version", "database", "user", "suser_sname", "host_name", "app_name",
     "row_count", "found_rows", "getvariable", "current_query", "current_user_id", "schema",
     "pg_sleep", "input_file_name", "current_schemas")
)  # fmt: skip
_SESSION_COLUMNS = frozenset(("user", "current_user_id", "current_aws_account", "uid"))
_TIME_COLUMNS = frozenset(("sysdate", "systimestamp"))
_ROW_COLUMNS = frozenset(("rowid", "_rowid_", "rownum", "ctid", "xmin", "oid"))
_TIME_WORDS = frozenset(("now", "today", "yesterday", "tomorrow", "allballs"))


def depends_on_run(query: exp.Expr, *, of_session: bool = False) -> str:
    """Return why the rows of a query change from run to run; empty if they don't.

    `of_session`: only what depends on the session, as for a view, which has no run of its own.
    """
    for node in query.walk():
        if _is(node, _SESSION, _SESSION_NAMES) or _is_column(node, _SESSION_COLUMNS):
            return f"`{_text(node)}` depends on the session that runs it"
        if not of_session and (reason := _depends_on_time(node) or _depends_on_chance(node)):
            return reason
    return ""


def _depends_on_time(node: exp.Expr) -> str:
    by_name = _is(node, _TIME, _TIME_NAMES) or _is_column(node, _TIME_COLUMNS)
    age_of_today = (
        isinstance(node, exp.Anonymous)
        and node.name.lower() == "age"
        and len(node.expressions) == 1
    )
    if by_name or age_of_today or _is_time_word(node):
        return f"`{_text(node)}` depends on the time of the run"
    return ""


def _is_time_word(node: exp.Expr) -> bool:
    """`'now'::date`, `date('now')`: texts that databases read as the time of the run."""
    is_word = isinstance(node, exp.Literal) and node.is_string
    return is_word and node.name.lower() in _TIME_WORDS and isinstance(
        node.parent, exp.Cast | exp.Func
    )  # fmt: skip


def _depends_on_chance(node: exp.Expr) -> str:
    if _is(node, _CHANCE, _CHANCE_NAMES):
        return f"`{_text(node)}` depends on chance"
    if _is_column(node, _ROW_COLUMNS):
        return f"`{_text(node)}` is where the database happens to keep a row"
    is_select = isinstance(node, exp.Select)
    if is_select and (node.args.get("limit") or node.args.get("offset")):
        constant = isinstance(node.args.get("limit"), exp.Limit) and node.args["limit"].name == "0"
        if not node.args.get("order") and not constant:
            return "it takes some rows without an order (LIMIT without ORDER BY)"
    return ""


def _is(node: exp.Expr, classes: tuple[type, ...], names: frozenset[str]) -> bool:
    anonymous = isinstance(node, exp.Anonymous) and node.name.lower() in names
    return isinstance(node, classes) or anonymous


def _is_column(node: exp.Expr, names: frozenset[str]) -> bool:
    return (
        isinstance(node, exp.Column)
        and not node.table
        and node.name.lower() in names
        and not node.this.args.get("quoted")
    )


# What means something else

_FRACTIONS = frozenset(
    ("duckdb", "bigquery", "spark", "spark2", "hive", "databricks", "snowflake", "mysql", "oracle",
     "clickhouse", "exasol")
)  # fmt: skip
"""Dialects in which whole numbers divide to a fraction, as in DuckDB; not in any other one."""
_POSTGRES = frozenset(("postgres", "redshift", "duckdb"))
_TRINO = frozenset(("trino", "presto", "athena"))
_HIVE = frozenset(("hive", "spark", "spark2", "databricks"))
_TRUNCATES = frozenset(("sqlite", "tsql", "fabric", *_HIVE))
"""Dialects in which a cast of 1.9 to a whole number gives 1; DuckDB gives 2."""
_IGNORES_CASE = frozenset(("sqlite", "mysql", "tsql", "fabric"))
_WEEKDAYS_FROM_SUNDAY_AS_0 = frozenset((*_POSTGRES, "snowflake"))
_ISO_WEEKS = frozenset((*_POSTGRES, *_TRINO, *_HIVE, "snowflake", "oracle"))
_POPULATION = frozenset(("mysql", "hive", "clickhouse"))
_FORMATTED = re.compile(r"%[-#]?[A-Za-z](?:strict)?")


def differences(query: exp.Expr, dialect: str) -> list[str]:
    """Return what means something else in DuckDB than in a dialect of sqlglot, in words.

    An empty dialect is one that isn't known: whatever differs between databases is refused.
    """
    if dialect == "duckdb":
        return []
    try:
        typed = annotate_types(query.copy(), dialect=dialect or None)
    except (SqlglotError, RecursionError):
        return ["the types of its expressions can't be determined"]
    reasons: dict[str, None] = {}
    for node in typed.walk():
        for reason in _differences_of(node, dialect):
            reasons[f"`{_text(node, dialect)}` {reason}"] = None
    return list(reasons)


def _differences_of(node: exp.Expr, dialect: str) -> Iterator[str]:
    for kind, check in _CHECKS.items():
        if isinstance(node, kind) and (reason := check(node, dialect)):
            yield reason


def _division(node: exp.Expr, dialect: str) -> str:
    if dialect in _FRACTIONS or any(map(_has_decimals, (node.this, node.expression))):
        return ""
    where = f"in {dialect}" if dialect else "in many databases"
    return f"is a whole number {where} if both sides are, but a fraction in DuckDB"


def _has_decimals(node: exp.Expr) -> bool:
    kind = node.type
    return kind is not None and (
        node.is_type(*exp.DataType.REAL_TYPES) or node.is_type(exp.DataType.Type.DECIMAL)
    )


def _average(_node: exp.Expr, dialect: str) -> str:
    if dialect not in ("tsql", "fabric") or _has_decimals(_node.this):
        return ""
    return f"is a whole number in {dialect} for whole numbers, but a fraction in DuckDB"


def _cast(node: exp.Expr, dialect: str) -> str:
    whole = node.is_type(*exp.DataType.INTEGER_TYPES)
    if whole and dialect in _TRUNCATES and _has_decimals(node.this):
        return f"drops the fraction in {dialect}, but rounds in DuckDB"
    return ""


def _like(node: exp.Expr, dialect: str) -> str:
    has_letters = re.search(r"[A-Za-z]", node.expression.name or "a")
    if dialect in _IGNORES_CASE and has_letters:
        return f"ignores upper and lower case in {dialect}, but not in DuckDB"
    return ""


def _extract(node: exp.Expr, dialect: str) -> str:
    unit = node.this.name.lower()
    if unit in ("dow", "dayofweek", "weekday", "dw", "dayofweek_iso"):
        return _weekday(node, dialect) if unit != "dayofweek_iso" else ""
    return _week(node, dialect) if unit in ("week", "w", "wk") else ""


def _weekday(_node: exp.Expr, dialect: str) -> str:
    if dialect in _WEEKDAYS_FROM_SUNDAY_AS_0:
        return ""
    return "counts the days of a week differently from DuckDB, in which Sunday is 0"


def _by_name(node: exp.Expr, dialect: str) -> str:
    return _weekday(node, dialect) if node.name.lower() == "weekday" else ""


def _week(_node: exp.Expr, dialect: str) -> str:
    return "" if dialect in _ISO_WEEKS else "counts weeks differently from DuckDB, which has ISO's"


def _date_difference(node: exp.Expr, dialect: str) -> str:
    is_timestamps = isinstance(node, exp.TimestampDiff)
    unit = node.args.get("unit")
    whole_units = (
        (is_timestamps and dialect in ("mysql", "bigquery"))
        or dialect in _TRINO
        or (dialect in _HIVE and unit is not None and unit.name.upper() != "DAY")
    )
    if whole_units:
        return f"counts complete units in {dialect}, but begun ones in DuckDB"
    return ""


def _format(node: exp.Expr, _dialect: str) -> str:
    pattern = node.args.get("format")
    if not isinstance(pattern, exp.Literal):
        return ""
    rest = _FORMATTED.sub("", pattern.name).replace("T", "").removesuffix("Z")
    if "%Q" in pattern.name or re.search(r"[A-Za-z\"]", rest):
        return "has a format that DuckDB doesn't have"
    return ""


def _substring(node: exp.Expr, dialect: str) -> str:
    start = node.args.get("start")
    begins = _constant(start)
    if begins is not None and begins < 1 and dialect in ("postgres", "redshift", "tsql", "fabric"):
        return f"begins before the text in {dialect}, but at its end in DuckDB"
    return ""


def _constant(node: exp.Expr | None) -> int | None:
    if isinstance(node, exp.Neg):
        inner = _constant(node.this)
        return None if inner is None else -inner
    is_number = isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit()
    return int(node.name) if is_number and node is not None else None


def _deviation(_node: exp.Expr, dialect: str) -> str:
    if dialect in _POPULATION:
        return f"is that of the whole population in {dialect}, but of a sample in DuckDB"
    return ""


def _joined_text(_node: exp.Expr, dialect: str) -> str:
    if dialect == "redshift" and isinstance(_node, exp.Concat):
        return "is NULL in redshift if a part is, but not in DuckDB"
    if dialect == "oracle":
        return "takes NULL as an empty text in oracle, but not in DuckDB"
    return ""


_CHECKS: Mapping[type[exp.Expr] | tuple[type[exp.Expr], ...], Callable[[exp.Expr, str], str]] = {
    exp.Div: _division,
    exp.Avg: _average,
    exp.Cast: _cast,
    exp.Like: _like,
    exp.Extract: _extract,
    exp.DayOfWeek: _weekday,
    exp.Week: _week,
    exp.Anonymous: _by_name,
    (exp.DateDiff, exp.TimestampDiff): _date_difference,
    (exp.TimeToStr, exp.StrToTime, exp.StrToDate): _format,
    exp.Substring: _substring,
    (exp.Stddev, exp.Variance): _deviation,
    (exp.Concat, exp.DPipe): _joined_text,
}


def _text(node: exp.Expr, dialect: str = "") -> str:
    return node.sql(dialect or None)[:_TEXT_CHARACTERS_MAX]
