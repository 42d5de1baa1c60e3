"""Incremental models: `merge` by their key, or `append`, with the predicate of dbt."""

from __future__ import annotations

import re

from headrace_import.importers.dbt.dialects import is_condition, unproven_keys
from headrace_import.importers.dbt.evaluator import GUARDED
from headrace_import.importers.dbt.generic_tests import declared_tests
from headrace_import.importers.dbt.outcome import Model, Outcome
from headrace_import.importers.dbt.project_files import flag, listed
from headrace_import.importers.dbt.templates import NotStatic, with_sql_comments
from headrace_import.importers.dbt.values import SELF

_GUARDED = re.compile(f"{GUARDED[0]}(.*?){GUARDED[1]}", re.DOTALL)
_CONDITION = re.compile(r"\s*((?:--[^\n]*\n\s*)*)(where|and)\b(.*)", re.DOTALL | re.IGNORECASE)
_TEXT_DEFAULT = re.compile(
    r"(coalesce\(\s*max\([\w.]+\)\s*,\s*)'(\d{4}-\d\d-\d\d[\d :.]*)'", re.IGNORECASE
)
"""A time as text beside a column: `$self` has no types before its first rows."""
_FIRST = f"not exists (select 1 from {SELF})"
_MERGING = {"merge", "delete+insert", ""}
_KEY_DIALECTS = {"bigquery", "snowflake", "databricks", "spark"}
"""Where a key that repeats stops a merge of dbt, too."""


def incremental(outcome: Outcome, model: Model) -> None:
    """Set an incremental model's materialization and SQL. Raise NotStatic."""
    config = model.config
    strategy = str(config.get("incremental_strategy") or "")
    keys = [str(key) for key in listed(config.get("unique_key"))]
    for option in ("merge_update_columns", "merge_exclude_columns", "incremental_predicates"):
        if config.get(option):
            model.doubts.append(f"{option} isn't carried: whole rows are replaced")
    if strategy in ("insert_overwrite", "microbatch") or strategy not in (*_MERGING, "append"):
        model.doubts.append(
            f"the strategy {strategy} replaces partitions in the warehouse; here the whole table is"
            " computed anew: declare `partition:` if its inputs are partitioned"
        )
        return
    if flag(config.get("full_refresh")):
        model.notes.append("full_refresh is true: the whole table is computed anew, as in dbt")
        return
    predicates = _guard(outcome, model)
    if predicates is None:
        model.doubts.append(
            "the part under `if is_incremental()` isn't a single `where` condition: here the whole"
            " table is computed anew, as by dbt run --full-refresh"
        )
    elif keys and strategy != "append":
        _merge(outcome, model, keys, strategy)
    else:
        _append(model, predicates)


def _merge(outcome: Outcome, model: Model, keys: list[str], strategy: str) -> None:
    if not all(re.fullmatch(r"\w+", key) for key in keys):
        raise NotStatic("its unique_key is an expression")
    model.fields |= {"materialize": "merge", "merge": {"keys": keys}}
    model.notes.append(f"incremental by {', '.join(keys)}: rows are merged by this key")
    reason, notes = unproven_keys(keys, outcome.dialect)
    model.notes += notes
    if reason:
        model.doubts.append(f"which rows have the same key: {reason}")
    repeated_stops = strategy == "merge" or outcome.dialect in _KEY_DIALECTS
    if not repeated_stops and not is_tested_unique(model, keys):
        model.doubts.append(
            f"no test says that {', '.join(keys)} is unique: dbt replaces all rows of a key, here a"
            " key that repeats among new rows stops the attempt"
        )


def _append(model: Model, predicates: list[str]) -> None:
    reads_itself = any(SELF in text for text in predicates)
    if not reads_itself or len(model.rendered.refs) != 1:
        why = "has several inputs" if reads_itself else "doesn't compare with rows that are there"
        model.sql = ""
        model.doubts.append(
            f"it appends rows, and {why}: here the whole table is computed anew, so rows that dbt"
            " would have kept go"
        )
        return
    model.fields["materialize"] = "append"
    model.notes.append("incremental without a key: new rows are appended")


def _guard(outcome: Outcome, model: Model) -> list[str] | None:
    """Set the SQL with the conditions of `is_incremental()`, and return them.

    A condition holds only once the table has rows, as in dbt. None if `is_incremental()` changes
    anything else: then the text of the first run isn't that of the later ones.
    """
    marked = outcome.renderer.render(
        with_sql_comments(model.node.text), incremental=True, config=model.node.config
    )
    predicates: list[str] = []
    failed = False

    def replaced(match: re.Match[str]) -> str:
        nonlocal failed
        parts = _CONDITION.fullmatch(match[1])
        if parts is None or not is_condition(_code(parts[3]), outcome.dialect):
            failed = True
            return ""
        comments, word, condition = parts.groups()
        predicates.append(condition)
        text = _TEXT_DEFAULT.sub(r"\1timestamp '\2'", condition.strip())
        return f"{comments}{word} (\n    {_FIRST}\n    or ({text})\n)\n"

    sql = _GUARDED.sub(replaced, marked.text)
    if failed or any(mark in sql for mark in GUARDED):
        return None
    at_first = _GUARDED.sub("", marked.text)
    if marked.asks_incremental or at_first != model.rendered.text or SELF in at_first:
        return None
    model.sql = sql
    if predicates:
        model.notes.append(
            f"is_incremental() is `{_FIRST} or (…)`: all rows at first, then those of its condition"
        )
    return predicates


def _code(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text)


def is_tested_unique(model: Model, keys: list[str]) -> bool:
    """Return whether a test of dbt says that the key is unique."""
    for test in declared_tests(model.node):
        if test.name == "unique" and keys == [test.column]:
            return True
        columns = test.arguments.get("combination_of_columns") or test.arguments.get("column_list")
        if columns and {str(column) for column in listed(columns)} == set(keys):
            return True
    return False
