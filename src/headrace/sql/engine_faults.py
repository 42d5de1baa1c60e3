"""Wrong results of the pinned DuckDB that are known, each with its guard.

A row goes when the pin moves to a version without the fault: `tests/engine/test_engine_faults.py`
runs each on the installed DuckDB. `headrace doctor` and docs/limits.md name them from here. This
module doesn't load sqlglot until a text may have one of the refused forms.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from headrace.model import UsageError

CODE = "engine_wrong_result"
"""The problem code of a refused statement."""


class EngineFault(NamedTuple):
    """A known wrong result."""

    source: str
    """The issue or commit in DuckDB's repository."""
    what: str
    optimizer: str = ""
    """The optimizer that causes it, and that every session turns off."""
    instead: str = ""
    """What to write instead of a refused form."""
    avoided: str = ""
    """How Headrace avoids it, if neither."""


ENGINE_FAULTS = (
    EngineFault(
        "#24985",
        "`sum` and `avg` over an ordered window whose frame is the whole partition are wrong for"
        " some of more than a million keys",
        instead="leave out ORDER BY and the frame: sum(amount) over (partition by key) is the same",
    ),
    EngineFault(
        "#24629",
        "of two windows with as many PARTITION BY keys, one gets the other's partitions if keys are"
        " equal or may become so (`a, a`; `a, a + 0`; `a > 0, b > 0`; `t.a, u.b` of a join on"
        " `a = b`)",
        instead="compute one of the windows in a subquery",
    ),
    EngineFault(
        "72882df1ac0",
        "`strptime` with several formats keeps the zone of an earlier row (`%z`, `%Z`)",
        instead="one format for each call: coalesce(try_strptime(s, '…%z'), try_strptime(s, '…'))",
    ),
    EngineFault(
        "#25992",
        "`c is distinct from 1 or c = 2` (and `is not true`) loses the rows of files in which `c`"
        " is always null",
        instead="write c is null or c <> 1 or c = 2",
    ),
    EngineFault(
        "#24788",
        "an ANTI JOIN on nothing but inequalities loses rows if the statistics prove them and the"
        " other side is empty",
        instead="where not exists (select 1 from other where …)",
    ),
    EngineFault(
        "#24504",
        "`(a, b) not in (…)` loses rows, or has too many, beside nulls",
        instead="where not exists (select 1 from other where x = a and y = b)",
    ),
    EngineFault(
        "#24199",
        "an ASOF JOIN with `is not distinct from` finds nothing for keys that are null",
        instead="compare values that stand for null: coalesce(a.key, '') = coalesce(b.key, '')",
    ),
    EngineFault(
        "#24442",
        "`mad` over a frame with EXCLUDE counts excluded rows",
        instead="a subquery: (select mad(x) from rows where …)",
    ),
    EngineFault(
        "#24896",
        "percentile 0 in descending order (`percentile_cont`, `percentile_disc`, `quantile`) is the"
        " least value",
        instead="max(x)",
    ),
    EngineFault(
        "#23685",
        "`a = b or (a is null and b is null)` is false, not null, where one is null, which shows"
        " under NOT and as a value",
        instead="write a is not distinct from b",
    ),
    EngineFault(
        "#24368",
        "`date_trunc('month', d) <> date '2026-01-15'`, with a date that begins no month, is true"
        " for a null `d`, and `=` is false, which shows under NOT and as a value",
        instead="compare with the first day of a month, or add d is not null",
    ),
    EngineFault(
        "#24826",
        "in windows, `mode` with a frame, DISTINCT or ORDER BY among its arguments breaks ties"
        " wrongly (also #24452); with ORDER BY in both, `rank`, `percent_rank` and `cume_dist`"
        " (#24693) miss peers and DISTINCT loses the order (#23448)",
        instead="compute it in a subquery: (select mode(x order by y) from rows where …)",
    ),
    EngineFault(
        "#20188",
        "a subquery with a WITH of its own gives every outer row the result of one, if a subquery"
        " in it reads the WITH through another one in FROM",
        instead="read the WITH directly: from n, not from (from n)",
    ),
    EngineFault(
        "#24344",
        "`round(decimal, -n)` by as many digits as the type has before the point, such as"
        " `round(x, -2)` of a DECIMAL(4,2), is 0 for what rounds up",
        instead="give it one digit more: round(x::decimal(5,2), -2)",
    ),
    EngineFault(
        "#23700",
        "`median` of intervals is the lower of the two in the middle",
        instead="compute with seconds: to_seconds(median(epoch(x)))",
    ),
    EngineFault(
        "#24601",
        "`printf` with thousands and a fraction (`%,.2f`) of a whole number writes other digits",
        instead="write %,d, or cast the number: printf('%,.2f', n::decimal(18,2))",
    ),
    EngineFault(
        "#24624",
        "a UNION ALL of queries over the same joins gives one the columns of the other (also"
        " #25819)",
        optimizer="common_subplan",
    ),
    EngineFault(
        "#25213",
        "a LEFT JOIN with `unnest` over DISTINCT or GROUP BY loses rows",
        optimizer="join_elimination",
    ),
    EngineFault(
        "#23979",
        "`exists (…)` that compares by `<>` or `<` is wrong for columns that are null by a LEFT"
        " JOIN, and over a subquery in FROM (#22267)",
        optimizer="deliminator",
    ),
    EngineFault(
        "#24363",
        "the first rows of each window (`row_number() … <= n`) are lost when all order by NULL,"
        " misordered by NaN, repeated too seldom after a join, and a row of nulls over no rows",
        optimizer="top_n_window_elimination",
    ),
    EngineFault(
        "#22924",
        "a join with the first rows of a query (LIMIT, OFFSET) takes the first of those that have"
        " a match instead, by chance where several threads compute",
        optimizer="join_filter_pushdown",
    ),
    EngineFault(
        "#24302",
        "a window over rows that are drawn by chance (`random()`) draws them twice",
        optimizer="window_self_join",
    ),
    EngineFault(
        "#24994",
        "bloom filters in Parquet hide rows that equal a binary value, or 0 where -0.0 is stored",
        avoided="the lake's files have none",
    ),
)
DISABLED_OPTIMIZERS = ",".join(fault.optimizer for fault in ENGINE_FAULTS if fault.optimizer)
"""The value of DuckDB's setting `disabled_optimizers` in every session."""
DISABLED_FOR_WHOLE_ROWS = DISABLED_OPTIMIZERS.replace(",join_filter_pushdown", "")
"""The value for a query in which a join can't come after rows were chosen (#22924)."""
_GAP = r"(?:\s|--[^\n]*\n|/\*.*?\*/)+"
_NULL_TESTS = rf"distinct{_GAP}from|\bis{_GAP}(?:not{_GAP})?(?:true|false)\b"
_MAY_JOIN = re.compile(_NULL_TESTS, re.IGNORECASE | re.DOTALL)
_MAY_HAVE = re.compile(
    r"\bover\b|strptime\b|\banti\b|\b(?:percentile|quantile)|date_?trunc|\(\s*with\b"
    rf"|null\b[\s)]*(?:{_GAP})?and\b|\)\s*(?:not{_GAP})?in\b|{_NULL_TESTS}",
    re.IGNORECASE | re.DOTALL,
)


class WrongResult(UsageError):
    """DuckDB gives wrong results for a statement. `line` is in the statement, from 1."""

    def __init__(self, message: str, *, hint: str, line: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.line = line


def refuse_faulty(text: str) -> None:
    """Raise WrongResult for SQL with one of the refused forms; a text that isn't SQL has none."""
    source = _fault_of(text)
    if source:
        raise wrong_result(source)


def wrong_result(source: str, *, line: int = 1) -> WrongResult:
    """Return the error for a fault of ENGINE_FAULTS."""
    fault = next(fault for fault in ENGINE_FAULTS if fault.source == source)
    return WrongResult(
        f"DuckDB gives wrong results for this form: {fault.what} (duckdb {source})",
        hint=fault.instead,
        line=line,
    )


def refuse_joined(text: str) -> None:
    """Raise WrongResult for a query with the bodies of its views, each without a refused form.

    Only tests of nulls make one together, so other texts aren't parsed.
    """
    if _MAY_JOIN.search(text) is not None:
        refuse_faulty(text)


@lru_cache(maxsize=1024)
def _fault_of(text: str) -> str:
    """Return the source of a text's first fault; a worker is asked about it for each partition."""
    if _MAY_HAVE.search(text) is None:
        return ""
    from headrace.sql.faulty_forms import faults_in  # loads sqlglot

    faults = set(faults_in(text))
    return next((fault.source for fault in ENGINE_FAULTS if fault.source in faults), "")
