"""Generic tests of dbt and its common packages as checks.

`KINDS` covers the tests that public projects use most; `docs/how-to/from-dbt.md` lists them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace_import.importers.dbt.project_files import flag, listed
from headrace_import.importers.dbt.values import SELF, sql_name

_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class NoCheck(Exception):
    """A test that has no check that does the same; the text says why."""


@dataclass(frozen=True, slots=True)
class Call:
    """A test with its arguments: `column` may be an expression, `relation` resolves a `ref`."""

    column: str
    arguments: Mapping[str, Any]
    relation: Callable[[object], str]
    where: str

    def other(self, *names: str) -> str:
        """Return the table that an argument names, for SQL: `$self` for the checked one itself."""
        name = self.relation(self.argument(*names))
        return name if name == SELF else sql_name(name)

    @property
    def rows(self) -> str:
        """What is read: the staged rows, narrowed by `where`."""
        return f"(select * from {SELF} where {self.where}) as t" if self.where else SELF

    def argument(self, *names: str) -> Any:
        """Return the first argument that is given. Raise NoCheck if none is."""
        for name in names:
            if self.arguments.get(name) is not None:
                return self.arguments[name]
        raise NoCheck(f"its argument {names[0]} is missing")

    def get(self, *names: str) -> Any:
        """Return the first argument that is given, or None."""
        return next((self.arguments[n] for n in names if self.arguments.get(n) is not None), None)

    def known(self, *names: str) -> None:
        """Raise NoCheck for an argument that isn't one of these."""
        for name in self.arguments:
            if name not in names:
                raise NoCheck(f"its argument {name} isn't read")

    @property
    def is_plain(self) -> bool:
        """Whether the column is a name, and all rows are meant or `where` can say which."""
        return bool(_COLUMN.fullmatch(self.column))


def literal(value: object) -> str:
    """Return a value of YAML as SQL."""
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return "'" + str(value).replace("'", "''") + "'"


def sql(query: str) -> dict[str, Any]:
    """Return a `sql` check, whose name is given later."""
    return {"sql": {"query": " ".join(query.split())}}


def _unique(call: Call) -> dict[str, Any]:
    call.known()
    if call.is_plain:
        return {"unique": [call.column]}
    return sql(
        f"select {call.column} as key from {call.rows} where {call.column} is not null"
        f" group by {call.column} having count(*) > 1"
    )


def _not_null(call: Call) -> dict[str, Any]:
    call.known()
    if call.is_plain:
        return {"not_null": [call.column]}
    return sql(f"select * from {call.rows} where {call.column} is null")


def _values(call: Call, *names: str) -> tuple[list[Any], bool]:
    """Return the values, and whether they are texts."""
    values = listed(call.argument(*names))
    quoted = flag(call.get("quote", "quote_values"), True)
    return ([str(value) for value in values] if quoted else values), quoted


def _accepted_values(call: Call) -> dict[str, Any]:
    call.known("values", "value_set", "quote", "quote_values")
    values, quoted = _values(call, "values", "value_set")
    if not quoted and not all(isinstance(value, int | float | bool) for value in values):
        texts = ", ".join(map(str, values))
        return sql(f"select * from {call.rows} where {call.column} not in ({texts})")
    if call.is_plain:
        return {"accepted_values": {"column": call.column, "values": values}}
    texts = ", ".join(map(literal, values))
    return sql(f"select * from {call.rows} where {call.column} not in ({texts})")


def _not_accepted(call: Call) -> dict[str, Any]:
    call.known("values", "value_set", "quote", "quote_values")
    values, quoted = _values(call, "values", "value_set")
    texts = ", ".join(map(literal if quoted else str, values))
    return sql(f"select * from {call.rows} where {call.column} in ({texts})")


def _relationships(call: Call) -> dict[str, Any]:
    call.known("to", "field")
    table, field = call.relation(call.argument("to")), str(call.argument("field"))
    if call.is_plain and _COLUMN.fullmatch(field) and table != SELF:
        return {"references": {"column": call.column, "to": f"{table}.{field}"}}
    return sql(
        f"select * from {call.rows} where {call.column} is not null and {call.column} not in"
        f" (select {field} from {call.other('to')} where {field} is not null)"
    )


def _relationships_where(call: Call) -> dict[str, Any]:
    call.known("to", "field", "from_condition", "to_condition")
    table, field = call.other("to"), str(call.argument("field"))
    left, right = call.get("from_condition") or "1=1", call.get("to_condition") or "1=1"
    return sql(
        f"select * from {call.rows} where ({left}) and {call.column} is not null and {call.column}"
        f" not in (select {field} from {table} where ({right}) and {field} is not null)"
    )


def _combination(call: Call) -> dict[str, Any]:
    call.known("combination_of_columns", "column_list", "quote_columns")
    quote = sql_quote if flag(call.get("quote_columns")) else str
    columns = ", ".join(
        quote(column) for column in listed(call.argument("combination_of_columns", "column_list"))
    )
    return sql(f"select {columns} from {call.rows} group by {columns} having count(*) > 1")


def sql_quote(name: object) -> str:
    """Return a name in double quotes."""
    return '"' + str(name).replace('"', '""') + '"'


def _expression(call: Call) -> dict[str, Any]:
    call.known("expression")
    column = f"{call.column} " if call.column else ""
    return sql(f"select * from {call.rows} where not ({column}{call.argument('expression')})")


def _range(call: Call) -> dict[str, Any]:
    call.known("min_value", "max_value", "inclusive", "strictly")
    low, high = call.get("min_value"), call.get("max_value")
    inclusive = flag(call.get("inclusive"), True) and not flag(call.get("strictly"))
    numbers = all(value is None or _is_number(value) for value in (low, high))
    if call.is_plain and inclusive and numbers:
        bounds = {"min": low, "max": high}
        given = {key: value for key, value in bounds.items() if value is not None}
        return {"range": {"column": call.column, **given}}
    equal = "=" if inclusive else ""
    conditions = [f"{call.column} >{equal} {low}"] if low is not None else []
    conditions += [f"{call.column} <{equal} {high}"] if high is not None else []
    return sql(f"select * from {call.rows} where not ({' and '.join(conditions)})")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _aggregate(call: Call, expression: str) -> dict[str, Any]:
    """Return a check of one figure of the column between two bounds."""
    call.known("min_value", "max_value", "strictly")
    equal = "" if flag(call.get("strictly")) else "="
    low, high = call.get("min_value"), call.get("max_value")
    conditions = [f"{expression} >{equal} {low}"] if low is not None else []
    conditions += [f"{expression} <{equal} {high}"] if high is not None else []
    return sql(
        f"select {expression} as figure from {call.rows} having not ({' and '.join(conditions)})"
    )


def _row_count(call: Call) -> dict[str, Any]:
    call.known("min_value", "max_value", "strictly")
    low, high = call.get("min_value"), call.get("max_value")
    whole = all(value is None or isinstance(value, int) for value in (low, high))
    if call.where or flag(call.get("strictly")) or not whole:
        return _aggregate(call, "count(*)")
    given = {key: value for key, value in (("min", low), ("max", high)) if value is not None}
    return {"row_count": given}


def _row_count_equals(call: Call) -> dict[str, Any]:
    call.known("value")
    value = call.argument("value")
    return sql(f"select count(*) as rows_found from {call.rows} having count(*) <> {int(value)}")


def _same_rows(call: Call) -> dict[str, Any]:
    call.known("compare_model")
    other = call.other("compare_model")
    return sql(
        f"select count(*) as rows_found from {call.rows}"
        f" having count(*) <> (select count(*) from {other})"
    )


def _fewer_rows(call: Call) -> dict[str, Any]:
    call.known("compare_model")
    other = call.other("compare_model")
    return sql(
        f"select count(*) as rows_found from {call.rows}"
        f" having count(*) >= (select count(*) from {other})"
    )


def _recency(call: Call) -> dict[str, Any]:
    call.known("datepart", "field", "interval", "column_name")
    part = str(call.argument("datepart")).lower()
    column = str(call.get("field") or call.column)
    units = {"day": "d", "hour": "h", "minute": "m", "week": "w"}
    if part not in units or not _COLUMN.fullmatch(column):
        raise NoCheck(f"an age in {part} isn't read")
    age = int(call.argument("interval")) * (7 if part == "week" else 1)
    unit = "d" if part == "week" else units[part]
    return {"freshness": {"column": column, "max_age": f"{age}{unit}"}}


def _regex(call: Call) -> dict[str, Any]:
    call.known("regex", "is_raw", "flags")
    if call.get("flags"):
        raise NoCheck("its flags aren't read")
    pattern = literal(call.argument("regex"))
    return sql(f"select * from {call.rows} where not regexp_matches({call.column}, {pattern})")


def _not_regex(call: Call) -> dict[str, Any]:
    call.known("regex", "is_raw")
    pattern = literal(call.argument("regex"))
    return sql(f"select * from {call.rows} where regexp_matches({call.column}, {pattern})")


def _length(call: Call) -> dict[str, Any]:
    inner = Call(f"length({call.column})", call.arguments, call.relation, call.where)
    return _range(inner)


def _length_equals(call: Call) -> dict[str, Any]:
    call.known("value")
    return sql(
        f"select * from {call.rows} where length({call.column}) <> {int(call.argument('value'))}"
    )


def _constant(call: Call) -> dict[str, Any]:
    call.known()
    count = f"count(distinct {call.column})"
    return sql(f"select {count} as figure from {call.rows} having {count} = 1")


def _at_least_one(call: Call) -> dict[str, Any]:
    call.known()
    count = f"count({call.column})"
    return sql(f"select {count} as figure from {call.rows} having {count} = 0")


def _proportion(call: Call) -> dict[str, Any]:
    call.known("at_least", "at_most")
    low, high = call.argument("at_least"), call.get("at_most")
    present = f"sum(case when {call.column} is null then 0 else 1 end)"
    share = f"{present} / cast(nullif(count(*), 0) as double)"
    upper = f" or {share} > {high}" if high is not None else ""
    return sql(f"select {share} as figure from {call.rows} having {share} < {low}{upper}")


def _not_empty(call: Call) -> dict[str, Any]:
    call.known("trim_whitespace")
    text = call.column if not flag(call.get("trim_whitespace"), True) else f"trim({call.column})"
    return sql(f"select * from {call.rows} where {text} = ''")


def _null(call: Call) -> dict[str, Any]:
    call.known()
    return sql(f"select * from {call.rows} where {call.column} is not null")


def _greater(call: Call) -> dict[str, Any]:
    call.known("column_A", "column_B", "or_equal")
    equal = "=" if flag(call.get("or_equal")) else ""
    left, right = call.argument("column_A"), call.argument("column_B")
    return sql(f"select * from {call.rows} where not ({left} >{equal} {right})")


KINDS: Mapping[str, Callable[[Call], dict[str, Any]]] = {
    "unique": _unique,
    "not_null": _not_null,
    "accepted_values": _accepted_values,
    "relationships": _relationships,
    "dbt_utils.unique_combination_of_columns": _combination,
    "dbt_utils.expression_is_true": _expression,
    "dbt_utils.accepted_range": _range,
    "dbt_utils.relationships_where": _relationships_where,
    "dbt_utils.not_constant": _constant,
    "dbt_utils.at_least_one": _at_least_one,
    "dbt_utils.not_null_proportion": _proportion,
    "dbt_utils.not_accepted_values": _not_accepted,
    "dbt_utils.not_empty_string": _not_empty,
    "dbt_utils.equal_rowcount": _same_rows,
    "dbt_utils.fewer_rows_than": _fewer_rows,
    "dbt_utils.recency": _recency,
    "dbt_expectations.expect_column_values_to_not_be_null": _not_null,
    "dbt_expectations.expect_column_values_to_be_null": _null,
    "dbt_expectations.expect_column_values_to_be_unique": _unique,
    "dbt_expectations.expect_column_values_to_be_in_set": _accepted_values,
    "dbt_expectations.expect_column_values_to_not_be_in_set": _not_accepted,
    "dbt_expectations.expect_column_values_to_be_between": _range,
    "dbt_expectations.expect_column_values_to_match_regex": _regex,
    "dbt_expectations.expect_column_values_to_not_match_regex": _not_regex,
    "dbt_expectations.expect_column_value_lengths_to_be_between": _length,
    "dbt_expectations.expect_column_value_lengths_to_equal": _length_equals,
    "dbt_expectations.expect_column_pair_values_A_to_be_greater_than_B": _greater,
    "dbt_expectations.expect_compound_columns_to_be_unique": _combination,
    "dbt_expectations.expect_table_row_count_to_be_between": _row_count,
    "dbt_expectations.expect_table_row_count_to_equal": _row_count_equals,
    "dbt_expectations.expect_table_row_count_to_equal_other_table": _same_rows,
    "dbt_expectations.expression_is_true": _expression,
    "dbt_expectations.expect_column_max_to_be_between": lambda c: _aggregate(c, f"max({c.column})"),
    "dbt_expectations.expect_column_min_to_be_between": lambda c: _aggregate(c, f"min({c.column})"),
    "dbt_expectations.expect_column_mean_to_be_between": lambda c: _aggregate(
        c, f"avg({c.column})"
    ),
    "dbt_expectations.expect_column_sum_to_be_between": lambda c: _aggregate(c, f"sum({c.column})"),
}
"""Test of dbt, with its package → the check that does the same. Raises NoCheck."""
