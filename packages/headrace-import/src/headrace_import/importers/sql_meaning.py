"""Parts of SQL that depend on the run: with one, a query has other rows when it runs again."""

from __future__ import annotations

from sqlglot import exp

_TEXT_CHARACTERS_MAX = 60

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


def _text(node: exp.Expr) -> str:
    return node.sql()[:_TEXT_CHARACTERS_MAX]
