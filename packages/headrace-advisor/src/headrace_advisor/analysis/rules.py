"""The rules about SQL, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from headrace_advisor.analysis import (
    distinct_rules,
    join_rules,
    predicate_rules,
    shape_rules,
    union_rules,
)
from headrace_advisor.analysis.advice import Finding, Premise
from headrace_advisor.analysis.queries import Queries


class Rule(NamedTuple):
    """One rule: its name in findings, and the function that finds them."""

    name: str
    find: Callable[[Queries], Iterator[Finding]]
    rewrites: bool
    """Whether all its findings keep the rows, which must then be the same in each run."""


RULES = (
    Rule("distinct_redundant", distinct_rules.redundant_distinct, True),
    Rule("distinct_redundant", distinct_rules.distinct_aggregates, True),
    Rule("distinct_conditional", distinct_rules.conditional_distinct, True),
    Rule("fan_out_join", distinct_rules.fan_out, False),
    Rule("union_to_union_all", union_rules.union_for_union_all, True),
    Rule("unused_join", join_rules.unused_join, True),
    Rule("cross_join", join_rules.cross_join, False),
    Rule("not_in_null", predicate_rules.not_in_null, False),
    Rule("order_by_no_effect", shape_rules.order_without_effect, True),
    Rule("unused_column", shape_rules.unused_columns, True),
    Rule("select_star", shape_rules.select_star, False),
    Rule("repeated_subquery", shape_rules.repeated_subquery, False),
    Rule("correlated_subquery", shape_rules.correlated_subquery, False),
    Rule("non_sargable", predicate_rules.non_sargable, False),
)


def findings(queries: Queries) -> list[Finding]:
    """Return what the rules say about a statement, by position.

    They hold together: a DISTINCT that only another one makes superfluous stays if that one can go.
    """
    results = [finding for rule in RULES for finding in _of_rule(rule, queries)]
    return sorted(_together(results), key=lambda finding: finding.position)


def _together(results: list[Finding]) -> list[Finding]:
    """Return findings of which none removes what another one relies on."""
    accepted: list[Finding] = []
    removed: frozenset[int] = frozenset()
    needed: frozenset[int] = frozenset()
    for finding in sorted(results, key=lambda finding: bool(finding.relies_on)):
        if finding.relies_on & removed or finding.removes & needed:
            continue
        accepted.append(finding)
        removed |= finding.removes
        needed |= finding.relies_on
    return accepted


def _of_rule(rule: Rule, queries: Queries) -> Iterator[Finding]:
    for finding in rule.find(queries):
        if not (rule.rewrites or finding.edits) or not queries.instabilities:
            yield finding
            continue
        unsure = frozenset(Premise(text, None) for text in queries.instabilities)
        yield finding._replace(premises=finding.premises | unsure)
