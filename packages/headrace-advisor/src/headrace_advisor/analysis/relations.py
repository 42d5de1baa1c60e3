"""Which columns of a table or a query determine which others, and the whole row.

Functional dependencies, as in the theory of keys: rows of a query correspond one to one to the
rows of its FROM items, or to its groups. Columns are a key if they determine all of those. NULLs
count as equal, as DISTINCT compares them; `=` compares them as neither equal nor different.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, NamedTuple, TypeVar, cast

from headrace_advisor.analysis.advice import NO_PREMISES, Premise, Premises
from headrace_advisor.analysis.tables import Key, TableFacts


class Use(NamedTuple):
    """A column that a conclusion about a relation starts from; stands among its premises."""

    column: str


Reasons = frozenset[Premise | Use]
NO_REASONS: Reasons = frozenset()
Method = TypeVar("Method", bound=Callable[..., Any])


def is_allowed(reasons: Iterable[Premise | Use], guarded_only: bool) -> bool:
    """Whether a conclusion may be drawn: whether all of its premises are guarded, if they must."""
    return not guarded_only or all(
        isinstance(item, Use) or item.guard is not None for item in reasons
    )


class Closure(NamedTuple):
    """What some columns of a relation determine."""

    columns: Mapping[str, Reasons]
    row: Reasons | None
    """Why the columns determine the row; None if they don't."""


def answered_once(method: Method) -> Method:
    """Return a method of Relation that remembers its answers.

    Queries may read one CTE several times, and CTEs may do so in turn.
    """

    @wraps(method)
    def answer(relation: Relation, *arguments: Hashable, **named: Hashable) -> Any:
        key = (method.__name__, *arguments, *named.values())
        if key not in relation.answers:
            relation.answers[key] = method(relation, *arguments, **named)
        return relation.answers[key]

    return cast("Method", answer)


class Relation:
    """Rows with named columns, of which nothing else is known: the base of all that is known."""

    columns: tuple[str, ...] | None
    """The names in lower case; None if they aren't known."""

    def __init__(self, columns: tuple[str, ...] | None = None, *, is_cte: bool = False) -> None:
        self.columns = columns
        self.is_cte = is_cte
        self.answers: dict[tuple[object, ...], Any] = {}

    def type_of(self, column: str) -> str:
        """Return the family of a column's type; empty if it isn't known."""
        del column
        return ""

    def not_null(self, column: str) -> Premises | None:
        """Return why a column is never NULL; None if it may be."""
        del column
        return None

    def origin(self, column: str) -> tuple[str, str] | None:
        """Return the table and its column whose values a column holds unchanged."""
        del column
        return None

    def constant(self, column: str) -> str | None:
        """Return the literal that a column holds in every row, written so that it compares."""
        del column
        return None

    def close(
        self, columns: frozenset[str], not_null: frozenset[str], guarded_only: bool
    ) -> Closure:
        """Return what columns determine, among the rows in which those of `not_null` aren't."""
        del not_null, guarded_only
        return Closure({column: frozenset((Use(column),)) for column in columns}, None)


class TableRelation(Relation):
    """A table with what is declared about it."""

    def __init__(self, facts: TableFacts) -> None:
        super().__init__(None if facts.types is None else tuple(facts.types))
        self.facts = facts

    def type_of(self, column: str) -> str:
        return (self.facts.types or {}).get(column, "")

    def not_null(self, column: str) -> Premises | None:
        premise = self.facts.not_null.get(column)
        return None if premise is None else frozenset((premise,))

    def origin(self, column: str) -> tuple[str, str] | None:
        return f"{self.facts.schema}.{self.facts.name.lower()}", column

    def close(
        self, columns: frozenset[str], not_null: frozenset[str], guarded_only: bool
    ) -> Closure:
        closed: dict[str, Reasons] = {column: frozenset((Use(column),)) for column in columns}
        row = self._row(columns, not_null, guarded_only)
        if row is not None:
            for column in self.columns or ():
                closed.setdefault(column, row)
        return Closure(closed, row)

    def _row(
        self, columns: frozenset[str], not_null: frozenset[str], guarded_only: bool
    ) -> Reasons | None:
        keys = [self._reasons(key, not_null) for key in self.facts.keys if key.columns <= columns]
        usable = [reasons for reasons in keys if reasons and is_allowed(reasons, guarded_only)]
        return min(usable, key=_rank) if usable else None

    def _reasons(self, key: Key, not_null: frozenset[str]) -> Reasons:
        """Return why a key tells rows apart; empty if rows with NULL in it may repeat."""
        reasons: set[Premise | Use] = {key.premise, *map(Use, key.columns)}
        if not key.null_safe:
            unsure = [column for column in key.columns if column not in not_null]
            premises = [self.facts.not_null[c] for c in unsure if c in self.facts.not_null]
            if len(premises) < len(unsure):
                return NO_REASONS
            reasons.update(premises)
        return frozenset(reasons)


def _rank(reasons: Iterable[Premise | Use]) -> tuple[int, int]:
    reasons = list(reasons)
    premises = [item for item in reasons if isinstance(item, Premise)]
    return sum(item.guard is None for item in premises), len(reasons)


class RenamedRelation(Relation):
    """A relation with other names for its columns, by position: `t (a, b)`."""

    def __init__(self, inner: Relation, names: Sequence[str]) -> None:
        inside = inner.columns or ()
        super().__init__((*names, *inside[len(names) :]))
        self.inner = inner
        self._in = dict(zip(names, inside, strict=False))
        self._out = {old: new for new, old in self._in.items()}
        for column in inside[len(names) :]:
            self._in[column] = self._out[column] = column

    @classmethod
    def of(cls, inner: Relation, names: Sequence[str]) -> Relation:
        """Return the relation under new names; one of which nothing is known if they don't fit."""
        inside = inner.columns
        distinct = len(set(names)) == len(names)
        if inside is None or len(set(inside)) < len(inside) or len(names) > len(inside):
            return Relation(tuple(names) if distinct else None)
        if not distinct or set(inside[len(names) :]) & set(names):
            return Relation()
        return cls(inner, names)

    def type_of(self, column: str) -> str:
        return self.inner.type_of(self._in.get(column, ""))

    def not_null(self, column: str) -> Premises | None:
        return self.inner.not_null(self._in.get(column, ""))

    def origin(self, column: str) -> tuple[str, str] | None:
        return self.inner.origin(self._in.get(column, ""))

    def constant(self, column: str) -> str | None:
        return self.inner.constant(self._in.get(column, ""))

    def close(
        self, columns: frozenset[str], not_null: frozenset[str], guarded_only: bool
    ) -> Closure:
        inside = frozenset(self._in[column] for column in columns if column in self._in)
        nulls = frozenset(self._in[column] for column in not_null if column in self._in)
        closure = self.inner.close(inside, nulls, guarded_only)
        return Closure(
            {
                self._out[column]: self._outside(reasons)
                for column, reasons in closure.columns.items()
                if column in self._out
            },
            None if closure.row is None else self._outside(closure.row),
        )

    def _outside(self, reasons: Reasons) -> Reasons:
        return frozenset(
            Use(self._out[item.column]) if isinstance(item, Use) else item for item in reasons
        )


class UnionRelation(Relation):
    """Rows of several queries after each other; without duplicates if `distinct`."""

    def __init__(self, branches: Sequence[Relation], *, distinct: bool) -> None:
        super().__init__(branches[0].columns)
        self.branches = branches
        self._distinct = distinct
        widths = {None if b.columns is None else len(set(b.columns)) for b in branches}
        full = {None if b.columns is None else len(b.columns) for b in branches}
        self._fits = len(widths) == 1 and None not in widths and widths == full

    def _inside(self, branch: Relation, column: str) -> str | None:
        if not self._fits or self.columns is None or column not in self.columns:
            return None
        assert branch.columns is not None
        return branch.columns[self.columns.index(column)]

    def _names(self, column: str) -> list[tuple[Relation, str]] | None:
        names = [(branch, self._inside(branch, column)) for branch in self.branches]
        known = [(branch, name) for branch, name in names if name is not None]
        return known if len(known) == len(names) else None

    @answered_once
    def type_of(self, column: str) -> str:
        names = self._names(column)
        types = {branch.type_of(name) for branch, name in names or ()}
        return types.pop() if len(types) == 1 else ""

    @answered_once
    def not_null(self, column: str) -> Premises | None:
        premises: set[Premise] = set()
        names = self._names(column)
        for branch, name in names or ():
            reasons = branch.not_null(name)
            if reasons is None:
                return None
            premises |= reasons
        return frozenset(premises) if names else None

    @answered_once
    def origin(self, column: str) -> tuple[str, str] | None:
        origins = {branch.origin(name) for branch, name in self._names(column) or ()}
        return origins.pop() if len(origins) == 1 else None

    @answered_once
    def constant(self, column: str) -> str | None:
        constants = {branch.constant(name) for branch, name in self._names(column) or ()}
        return constants.pop() if len(constants) == 1 else None

    @answered_once
    def differs(self, column: str) -> bool:
        """Whether a column holds another constant in each branch."""
        if not self.type_of(column):
            return False  # in a common type they may become equal
        constants = [branch.constant(name) for branch, name in self._names(column) or ()]
        return (
            bool(constants)
            and None not in constants
            and len(set(constants)) == len(constants)
            and len({constant[:1] for constant in constants if constant}) == 1
        )

    @answered_once
    def close(  # complexipy: ignore (a case per way to tell rows apart)
        self, columns: frozenset[str], not_null: frozenset[str], guarded_only: bool
    ) -> Closure:
        closed: dict[str, Reasons] = {column: frozenset((Use(column),)) for column in columns}
        row: Reasons | None = None
        if not self._fits:
            return Closure(closed, None)
        if self._distinct and set(self.columns or ()) <= columns:
            row = frozenset(map(Use, self.columns or ()))
        sign = {Use(column) for column in sorted(columns) if self.differs(column)}
        if sign:
            inner = self._of_branches(columns, not_null, guarded_only)
            for column, reasons in inner.columns.items():
                closed.setdefault(column, reasons | sign)
            if row is None and inner.row is not None:
                row = inner.row | sign
        return Closure(closed, row)

    def _of_branches(
        self, columns: frozenset[str], not_null: frozenset[str], guarded_only: bool
    ) -> Closure:
        """Return what columns determine in each of the branches."""
        # branches of different types get a common one, in which values may become equal
        exact = frozenset(c for c in columns if self.type_of(c) or self.origin(c) is not None)
        closures = [
            RenamedRelation.of(branch, self.columns or ()).close(exact, not_null, guarded_only)
            for branch in self.branches
        ]
        shared = set[str].intersection(*(set(closure.columns) for closure in closures))
        rows = [closure.row for closure in closures if closure.row is not None]
        return Closure(
            {name: frozenset().union(*(c.columns[name] for c in closures)) for name in shared},
            frozenset[Premise | Use]().union(*rows) if len(rows) == len(closures) else None,
        )


class SubsetRelation(Relation):
    """Rows of the first branch of EXCEPT or INTERSECT: a part of them, with the same columns."""

    def __init__(self, inner: Relation, *, distinct: bool) -> None:
        super().__init__(inner.columns)
        self._inner = inner
        self._distinct = distinct

    def type_of(self, column: str) -> str:
        return self._inner.type_of(column)

    def not_null(self, column: str) -> Premises | None:
        return self._inner.not_null(column)

    def origin(self, column: str) -> tuple[str, str] | None:
        return self._inner.origin(column)

    def constant(self, column: str) -> str | None:
        return self._inner.constant(column)

    def close(
        self, columns: frozenset[str], not_null: frozenset[str], guarded_only: bool
    ) -> Closure:
        closure = self._inner.close(columns, not_null, guarded_only)
        whole = self.columns is not None and len(set(self.columns)) == len(self.columns)
        if self._distinct and whole and set(self.columns or ()) <= columns:
            return Closure(closure.columns, frozenset(map(Use, self.columns or ())))
        return closure


def premises_of(reasons: Reasons) -> Premises:
    """Return the premises among reasons."""
    return frozenset(item for item in reasons if isinstance(item, Premise)) or NO_PREMISES
