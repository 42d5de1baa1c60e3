"""Rules about DISTINCT: where it removes nothing, and where it hides rows that a join repeats."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from headrace_advisor.analysis.advice import Finding, JoinedTable, Premise, Premises
from headrace_advisor.analysis.conditions import unparenthesised
from headrace_advisor.analysis.contexts import ignores_duplicates, ignoring, takes_part
from headrace_advisor.analysis.edits import position, remove_distinct, remove_inner_distinct
from headrace_advisor.analysis.exists_edits import exists_instead
from headrace_advisor.analysis.from_items import EXPRESSION, Item
from headrace_advisor.analysis.functions import gives_several
from headrace_advisor.analysis.queries import Queries
from headrace_advisor.analysis.relations import NO_REASONS, TableRelation, premises_of
from headrace_advisor.analysis.selects import ROW, Closed, SelectScope

KIND = "remove_distinct"


def redundant_distinct(queries: Queries) -> Iterator[Finding]:
    """SELECT DISTINCT whose rows are distinct already, or whose duplicates don't matter."""
    for select, scope in queries.selects():
        distinct = select.args.get("distinct")
        if distinct is None or distinct.args.get("on") is not None:
            continue
        premises = _unique(scope)
        if premises is not None:
            text = "DISTINCT removes nothing: the rows are distinct already"
            yield _finding(queries, select, text, premises | _facts(scope))
        elif not takes_part(select) and (reason := ignores_duplicates(select, queries)):
            text = f"DISTINCT isn't needed: {reason} ignores duplicates"
            finding = _finding(queries, select, text, frozenset())
            yield finding._replace(relies_on=ignoring(select, queries))


def _unique(scope: SelectScope) -> Premises | None:
    premises = scope.unique(guarded_only=True)
    return premises if premises is not None else scope.unique(guarded_only=False)


def _facts(scope: SelectScope) -> Premises:
    """Return what the query itself says about the key, as premises that it guards."""
    if not scope.groups:
        return frozenset()
    names = [name.removeprefix("column ") for _, name in scope.groups]
    text = f"({', '.join(sorted(names))}) is unique after GROUP BY"
    return frozenset((Premise(text, "GROUP BY of the same query"),))


def _finding(queries: Queries, select: exp.Select, text: str, premises: Premises) -> Finding:
    return Finding(
        "distinct_redundant",
        KIND,
        position(queries.statement, select),
        text,
        premises,
        remove_distinct(queries.statement, select),
        removes=frozenset((id(select),)),
    )


def conditional_distinct(queries: Queries) -> Iterator[Finding]:
    """SELECT DISTINCT that is redundant if the columns of its joins are keys, which nobody says."""
    for select, scope in queries.selects():
        distinct = select.args.get("distinct")
        if distinct is None or distinct.args.get("on") is not None or scope.is_grouped:
            continue
        if _unique(scope) is not None or len(scope.items) < 2:
            continue
        if not takes_part(select) and ignores_duplicates(select, queries):
            continue
        assumed = _assumed_keys(scope)
        if assumed is None:
            continue
        yield Finding(
            "distinct_conditional",
            KIND,
            position(queries.statement, select),
            "DISTINCT removes nothing if these columns are keys",
            frozenset(
                Premise(f"({', '.join(columns)}) is unique in {item.name}", None)
                for item, columns in assumed
            ),
            remove_distinct(queries.statement, select),
            removes=frozenset((id(select),)),
        )


def _assumed_keys(scope: SelectScope) -> list[tuple[Item, tuple[str, ...]]] | None:
    """Return keys by which DISTINCT would be redundant: of each table the columns it is joined on.

    None if they wouldn't make it so, or if a table has keys, but others.
    """
    keys = {item.number: join_columns(scope, item) for item in scope.items}
    closed = scope.close(scope.start(scope.outputs), guarded_only=False)
    assumed: list[tuple[Item, tuple[str, ...]]] = []
    size = -1
    while size != len(assumed):
        size = len(assumed)
        for item in scope.items:
            columns = keys[item.number]
            if _could_be_key(item, columns, closed):
                start = {**closed, (item.number, ROW): NO_REASONS}
                closed = scope.close(start, guarded_only=False)
                assumed.append((item, columns))
    return assumed if assumed and scope.rows_of(closed) is not None else None


def _could_be_key(item: Item, columns: tuple[str, ...], closed: Closed) -> bool:
    if (item.number, ROW) in closed or item.filters or item.nullable or not columns:
        return False
    if not isinstance(item.relation, TableRelation) or item.relation.facts.keys:
        return False
    return all((item.number, column) in closed for column in columns)


def join_columns(scope: SelectScope, item: Item) -> tuple[str, ...]:
    """Return the columns of an item that equalities with other items use."""
    columns = {
        attribute[1]
        for left, right, _ in scope.equal
        for attribute, other in ((left, right), (right, left))
        if attribute[0] == item.number and other[0] not in (item.number, EXPRESSION)
    }
    return tuple(sorted(columns | item.matched))


def fan_out(queries: Queries) -> Iterator[Finding]:
    """A join that may repeat rows; a DISTINCT may hide that it does."""
    for select, scope in queries.selects():
        distinct = select.args.get("distinct")
        if distinct is not None and distinct.args.get("on") is None:
            yield from _hidden_by_distinct(queries, scope)
        elif not scope.is_grouped and not ignores_duplicates(select, queries):
            yield from _of_descriptions(queries, scope)


def _hidden_by_distinct(queries: Queries, scope: SelectScope) -> Iterator[Finding]:
    """Tables that give no column, and without which DISTINCT would be redundant."""
    if scope.is_grouped or _unique(scope) is not None or _assumed_keys(scope):
        return
    closed = scope.close(scope.start(scope.outputs), guarded_only=False)
    missing = _missing_items(scope, closed)
    if not missing or len(missing) == len(scope.items):
        return
    assumed: Closed = {**closed, **{(item.number, ROW): NO_REASONS for item in missing}}
    rows = scope.rows_of(scope.close(assumed, guarded_only=False))
    for item in missing if rows is not None else ():
        columns = join_columns(scope, item)
        text = (
            f"the join with {item.name} repeats rows, and DISTINCT removes them again:"
            f" ({', '.join(columns)}) is no key of it"
        )
        if columns and rows is not None:
            finding = _fan_out(queries, item, columns, text, premises_of(rows))
            yield _repaired(queries, scope, item, finding) if len(missing) == 1 else finding


def _repaired(queries: Queries, scope: SelectScope, item: Item, finding: Finding) -> Finding:
    """Return the finding with EXISTS in place of the join and DISTINCT, if that gives equal rows.

    It does whether or not the join repeats rows: only the keys of the other tables matter. The
    columns have to determine their rows without this one, which EXISTS doesn't give.
    """
    outputs = scope.start(scope.outputs)
    closed = scope.close(outputs, guarded_only=False, without=frozenset((item.number,)))
    others = [row for row in scope.rows() if row[0] != item.number]
    edits = exists_instead(queries.statement, scope, item)
    if not edits or scope.multiplies_rows or any(row not in closed for row in others):
        return finding
    return finding._replace(
        message=f"{finding.message}; EXISTS asks for a match without repeating rows",
        premises=premises_of(frozenset().union(*(closed[row] for row in others))),
        edits=edits,
        provable=True,
        removes=frozenset((id(scope.select),)),
    )


def _missing_items(scope: SelectScope, closed: Closed) -> list[Item]:
    """Return the items that give no column, and whose row the columns don't determine."""
    given = {o.attribute[0] for o in scope.outputs if o.attribute is not None}
    return [
        item
        for item in scope.items
        if not item.filters and (item.number, ROW) not in closed and item.number not in given
    ]


def _fan_out(
    queries: Queries, item: Item, columns: tuple[str, ...], text: str, premises: Premises
) -> Finding:
    return Finding(
        "fan_out_join",
        "fan_out",
        position(queries.statement, item.join or item.node),
        text,
        premises | {_repeats(item, columns)},
        join=JoinedTable(item.name, columns),
        provable=False,
    )


def _repeats(item: Item, columns: tuple[str, ...]) -> Premise:
    return Premise(f"({', '.join(columns)}) isn't unique in {item.name}", None)


_KEY_WORDS = (
    "id",
    "key",
    "sk",
    "code",
    "uuid",
    "guid",
    "hash",
    "number",
    "nr",
    "no",
    "isin",
    "npi",
)


_CALENDARS = frozenset(("calendar", "dates", "days"))
"""Words of names of tables with one row for each day."""
_DAYS = frozenset(("date", "day", "dim_date", "dim_day", "date_dim", "day_dim"))
"""Other such names. `prices_by_day` isn't one."""


def _looks_like_key(column: str, table: str) -> bool:
    """Whether a name suggests a key.

    `customer_id` does, and `country` of a table `countries`, and `full_date` of a calendar.
    """
    last = column.rpartition("_")[2]
    if last in _KEY_WORDS or column.endswith("id"):
        return True
    if last in ("date", "day"):
        return _is_calendar(table.lower())
    return column.removesuffix("y") in table.lower()


def _is_calendar(table: str) -> bool:
    return table in _DAYS or not _CALENDARS.isdisjoint(table.split("_"))


def _of_descriptions(queries: Queries, scope: SelectScope) -> Iterator[Finding]:
    """Joins on columns of which nothing says, and no name suggests, that they are a key."""
    for item in scope.items:
        relation = item.relation
        if item.join is None or item.filters or not isinstance(relation, TableRelation):
            continue
        columns = join_columns(scope, item) or _compared(scope, item)
        if not columns:
            continue
        names = frozenset(columns)
        if relation.close(names, names, guarded_only=False).row is not None:
            continue
        if relation.facts.keys or any(_looks_like_key(c, item.name) for c in columns):
            continue
        text = f"the join with {item.name} repeats rows if ({', '.join(columns)}) isn't a key of it"
        yield _fan_out(queries, item, columns, text, frozenset())


def _compared(scope: SelectScope, item: Item) -> tuple[str, ...]:
    """Return the columns of an item in equalities of its join's condition."""
    equalities = [part for part in item.conditions if isinstance(part, exp.EQ)]
    sides = [side for part in equalities for side in (part.this, part.expression)]
    values = [unparenthesised(side) for side in sides]
    attributes = [scope.resolve(value) for value in values if isinstance(value, exp.Column)]
    return tuple(sorted({a[1] for a in attributes if a is not None and a[0] == item.number}))


def distinct_aggregates(queries: Queries) -> Iterator[Finding]:
    """`count(distinct key)`, `max(distinct …)`: aggregates in which DISTINCT changes nothing."""
    for select, scope in queries.selects():
        for node in select.find_all(exp.Count, exp.Max, exp.Min):
            if node.parent_select is not select or not isinstance(node.this, exp.Distinct):
                continue
            values = node.this.expressions
            premises = _aggregate_premises(scope, node, values)
            if premises is None or len(values) != 1 or gives_several(node):
                continue
            yield Finding(
                "distinct_redundant",
                KIND,
                position(queries.statement, node),
                f"DISTINCT inside of {node.sql_name()} changes nothing",
                premises,
                remove_inner_distinct(queries.statement, values[0]),
                removes=frozenset((id(node),)),
            )


def _aggregate_premises(
    scope: SelectScope, node: exp.Expr, values: list[exp.Expr]
) -> Premises | None:
    if isinstance(node, exp.Max | exp.Min):
        return frozenset()
    if isinstance(node.parent, exp.Window) or scope.groups is None:
        return None
    start: Closed = dict.fromkeys(scope.groups, NO_REASONS)
    attributes = [scope.attribute(value) for value in values]
    known = [attribute for attribute in attributes if attribute is not None]
    if len(known) < len(attributes):
        return None
    start.update(dict.fromkeys(known, NO_REASONS))
    for guarded_only in (True, False):
        closed = scope.close(start, guarded_only, frozenset(known))
        if all(row in closed for row in scope.rows()):
            return premises_of(frozenset().union(*(closed[row] for row in scope.rows())))
    return None
