"""What a SELECT gives: its columns as a relation for the query around it."""

from __future__ import annotations

from sqlglot import exp

from headrace_advisor.analysis.advice import NO_PREMISES, Premise, Premises
from headrace_advisor.analysis.conditions import Attribute, unparenthesised
from headrace_advisor.analysis.from_items import EXPRESSION, Output
from headrace_advisor.analysis.relations import Closure, Reasons, Relation, Use, answered_once
from headrace_advisor.analysis.selects import Closed, SelectScope
from headrace_advisor.analysis.value_types import constant_text, type_of


class SelectRelation(Relation):
    """The rows that a SELECT gives."""

    def __init__(self, scope: SelectScope) -> None:
        names = [output.name for output in scope.outputs]
        super().__init__(tuple(names) if scope.is_complete else None)
        self.scope = scope
        select = scope.select
        self._repeated = {name for name in names if names.count(name) > 1} | {""}
        self._outputs = {
            output.name: output for output in scope.outputs if output.name not in self._repeated
        }
        self._distinct = select.args.get("distinct")
        self._single = _is_limited_to_one(select)

    def _output(self, column: str) -> Output | None:
        output = self._outputs.get(column)
        if output is not None or column in self._repeated or self.columns is not None:
            return output
        open_items = [item for item in self.scope.items if item.relation.columns is None]
        if len(self.scope.items) == 1 and open_items:  # one of those that a star stands for
            node = exp.column(column)
            return Output(column, node, (0, column))
        return None

    @answered_once
    def type_of(self, column: str) -> str:
        output = self._output(column)
        if output is None:
            return ""
        if output.attribute is not None and output.attribute[0] != EXPRESSION:
            return self.scope.item(output.attribute).relation.type_of(output.attribute[1])
        return type_of(unparenthesised(output.node), self.scope.column_type)

    @answered_once
    def not_null(self, column: str) -> Premises | None:
        output = self._output(column)
        if output is None or (self.scope.groups is None and self.scope.is_grouped):
            return None
        return self._value_not_null(unparenthesised(output.node), output.attribute)

    def _value_not_null(  # complexipy: ignore (a case per kind of value)
        self, value: exp.Expr, attribute: Attribute | None
    ) -> Premises | None:
        scope = self.scope
        if attribute is not None and attribute[0] != EXPRESSION:
            if attribute in scope.never_null:
                return NO_PREMISES
            item = scope.item(attribute)
            return None if item.nullable else item.relation.not_null(attribute[1])
        if isinstance(value, exp.Literal | exp.Boolean | exp.Count):
            return NO_PREMISES
        if isinstance(value, exp.Window) and isinstance(value.this, exp.RowNumber | exp.Count):
            return NO_PREMISES
        if isinstance(value, exp.Coalesce):
            parts = [self._part_not_null(part) for part in (value.this, *value.expressions)]
            return next((premises for premises in parts if premises is not None), None)
        if isinstance(value, exp.Case):
            return self._case_not_null(value)
        if isinstance(value, exp.Max | exp.Min) and scope.select.args.get("group") is not None:
            return self._part_not_null(value.this)
        return None

    def _part_not_null(self, part: exp.Expr) -> Premises | None:
        value = unparenthesised(part)
        return self._value_not_null(value, self.scope.attribute(value))

    def _case_not_null(self, case: exp.Case) -> Premises | None:
        default = case.args.get("default")
        if default is None:
            return None
        values = [*(branch.args["true"] for branch in case.args["ifs"]), default]
        parts = [self._part_not_null(value) for value in values]
        known = [premises for premises in parts if premises is not None]
        return frozenset[Premise]().union(*known) if len(known) == len(parts) else None

    @answered_once
    def origin(self, column: str) -> tuple[str, str] | None:
        output = self._output(column)
        if output is None or output.attribute is None or output.attribute[0] == EXPRESSION:
            return None
        return self.scope.item(output.attribute).relation.origin(output.attribute[1])

    @answered_once
    def constant(self, column: str) -> str | None:
        output = self._output(column)
        if output is None:
            return None
        if output.attribute is not None and output.attribute[0] != EXPRESSION:
            return self._column_constant(output.attribute)
        return constant_text(unparenthesised(output.node))

    def _column_constant(self, attribute: Attribute) -> str | None:
        scope = self.scope
        if scope.is_grouped and scope.groups is None:
            return None  # totals have NULL there
        if attribute in scope.literals:
            return scope.literals[attribute]
        item = scope.item(attribute)
        return None if item.nullable else item.relation.constant(attribute[1])

    @answered_once
    def close(
        self, columns: frozenset[str], not_null: frozenset[str], guarded_only: bool
    ) -> Closure:
        scope = self.scope
        given = [output for column in columns if (output := self._output(column)) is not None]
        nulls = [output for column in not_null if (output := self._output(column)) is not None]
        never_null = frozenset(o.attribute for o in nulls if o.attribute is not None)
        closed = scope.close(scope.start(given, marked=True), guarded_only, never_null)
        row = self._row(closed, columns)
        determined: dict[str, Reasons] = {c: frozenset((Use(c),)) for c in columns}
        for output in self._outputs.values():
            attribute = output.attribute
            if attribute is not None and attribute in closed and scope.is_of_group(attribute):
                determined.setdefault(output.name, closed[attribute])
            elif row is not None:
                determined.setdefault(output.name, row)
        return Closure(determined, row)

    def _row(self, closed: Closed, columns: frozenset[str]) -> Reasons | None:
        scope = self.scope
        if self._single:
            return frozenset()
        row = scope.rows_of(closed)
        if row is not None or not self._distinct or not scope.is_complete:
            return row
        on = self._distinct.args.get("on")
        if on is not None:
            return self._row_of_distinct_on(on, closed)
        reasons: set[Premise | Use] = set()
        for output in scope.outputs:
            if output.name in columns and output.name not in self._repeated:
                reasons.add(Use(output.name))
            elif output.attribute is not None and output.attribute in closed:
                reasons |= closed[output.attribute]
            else:
                return None
        return frozenset(reasons)

    def _row_of_distinct_on(self, on: exp.Expr, closed: Closed) -> Reasons | None:
        values = on.expressions if isinstance(on, exp.Tuple) else [on]
        reasons: set[Premise | Use] = set()
        for value in values:
            attribute = self.scope.attribute(value)
            if attribute is None or attribute not in closed:
                return None
            reasons |= closed[attribute]
        return frozenset(reasons)


def _is_limited_to_one(query: exp.Query) -> bool:
    limit = query.args.get("limit")
    if not isinstance(limit, exp.Limit) or any(
        limit.args.get(key) for key in ("limit_options", "expressions")
    ):
        return False
    return isinstance(limit.expression, exp.Literal) and limit.expression.name == "1"
