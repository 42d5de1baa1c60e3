"""What a plan does to data and to people, and the rules that ask for an approval of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from headrace.compiler.lineage import compile_lineage
from headrace.ledger.predicted_costs import predicted_cost
from headrace.model import Asset, Consumer, Project, Settings, Source
from headrace.model.access import Role
from headrace.model.exports import clear_columns
from headrace.model.files import SETTINGS_FILE
from headrace.model.policy import (
    NODES_MAX,
    Approval,
    Consequence,
    Need,
    NeedDeclaration,
    PolicyRule,
)
from headrace.model.policy_fields import AFFECTED, CHANGED, EACH_DOMAIN, PROJECT, READING_DOMAINS
from headrace.model.policy_language import parse_rule
from headrace.model.reachability import reachable
from headrace.plan import Compiled
from headrace.plan.backfills import Chosen
from headrace.plan.classification import classified_columns
from headrace.plan.compiled import is_view
from headrace.plan.contract_agreement import contracts_crossing_domains
from headrace.plan.node_graph import NodeGraph
from headrace.plan.project_plan import Plan
from headrace.plan.steps import Invalidate, Retire, range_of
from headrace.store import Transaction
from headrace.store.queries import publications

Node = Source | Asset | Consumer

# Consequences


def of_computation(
    tx: Transaction | None,
    compiled: Compiled,
    chosen: Sequence[Chosen],
    *,
    cache: Path,
    size: int = 0,
) -> Consequence:
    """Return the consequence of computing these partitions; `size` is in bytes.

    `cache` is the folder from which column lineage is read.
    """
    names = list(dict.fromkeys(item.node for item in chosen))
    spans = [(item.node, span.first, span.last) for item in chosen for span in item.spans]
    consequence = _described(
        compiled.project, names, consumers_of(compiled, names), _roots(compiled, names)
    )
    return msgspec.structs.replace(
        consequence,
        partitions=sum(item.partitions for item in chosen),
        rows=_published_rows(tx, spans),
        bytes=size,
        cost=predicted_cost(tx, compiled.project.settings.costs, chosen),
        classified=_classified(compiled, names, cache),
    )


def of_apply(
    tx: Transaction | None,
    old: Compiled,
    new: Compiled,
    plan: Plan,
    *,
    consumers: Sequence[str],
    breaks: Sequence[str],
    cache: Path,
) -> Consequence:
    """Return the consequence of applying a plan.

    Partitions that stay as they are until somebody asks for a backfill count as `stale` only: the
    backfill is evaluated. `consumers` and `breaks` are those of the plan's changes.
    """
    changed = [change.node for change in plan.changes.nodes if _known(old, new, change.node)]
    recomputed = _invalidated(plan, asks=False)
    nodes = {item.node for item in recomputed}
    ranges = [
        (step.node, covered)
        for step in plan.steps
        if (covered := range_of(step)) is not None
        and covered.partitions
        and step.node not in nodes
        and not _waits(step)
    ]
    spans = [(node, covered.first or "", covered.last or "") for node, covered in ranges]
    spans += [(item.node, span.first, span.last) for item in recomputed for span in item.spans]
    consequence = _described(new.project, changed, consumers, changed)
    return msgspec.structs.replace(
        consequence,
        partitions=sum(covered.partitions for _, covered in ranges)
        + sum(item.partitions for item in recomputed),
        rows=_published_rows(tx, spans),
        stale=sum(item.partitions for item in _invalidated(plan, asks=True)),
        cost=predicted_cost(tx, new.project.settings.costs, recomputed),
        weakens=(
            *(item.text for item in plan.changes.weakened),
            *_weaker_rules(old.project, new.project),
        ),
        breaks=tuple(breaks),
        contracts=contracts_crossing_domains(old, new),
        classified=tuple(
            sorted(
                {
                    *_classified(old, changed, cache),
                    *_classified(new, changed, cache),
                    *_exported_clear(new.project, changed),
                }
            )
        ),
    )


def _invalidated(plan: Plan, *, asks: bool) -> list[Chosen]:
    """Return the partitions that the next run recomputes, or those for which somebody must ask."""
    automatic = {step.node for step in plan.steps if isinstance(step, Invalidate) and not step.asks}
    return [
        item
        for needed in plan.changes.invalidated.backfills
        if needed.backfill is not None and automatic.isdisjoint(needed.nodes) is asks
        for item in needed.backfill.chosen
    ]


def of_act(
    compiled: Compiled, names: Sequence[str], *, partitions: int, rows: int, cache: Path
) -> Consequence:
    """Return the consequence of publishing, unpublishing or erasing data of these nodes.

    `rows` are released from quarantine, unpublished or erased. Everything downstream is reached.
    """
    consumers = NodeGraph(compiled, data_only=True).consumers(names)
    consequence = _described(compiled.project, names, consumers, names)
    return msgspec.structs.replace(
        consequence,
        partitions=partitions,
        rows=rows,
        classified=tuple(_classified(compiled, names, cache)),
    )


def without_readers(consequence: Consequence) -> Consequence:
    """Return the same work in an environment, which publishes to no consumer."""
    return msgspec.structs.replace(
        consequence,
        consumers=(),
        crossing=(),
        weakens=(),
        breaks=(),
        classified=(),
        contracts=(),
    )


def _waits(step: object) -> bool:
    """Whether a step leaves all published partitions as they are."""
    return isinstance(step, Retire) or (isinstance(step, Invalidate) and step.asks)


def _known(old: Compiled, new: Compiled, name: str) -> bool:
    return new.project.node(name) is not None or old.project.node(name) is not None


def _described(
    project: Project, names: Sequence[str], consumers: Sequence[str], origins: Sequence[str]
) -> Consequence:
    """Return whom and what a change of these nodes reaches; it begins at `origins`."""
    begins = {node.domain for node in _nodes(project, origins)}
    reached = _nodes(project, [*names, *consumers])
    return Consequence(
        nodes=tuple(sorted(names)),
        consumers=tuple(sorted(consumers)),
        crossing=tuple(
            sorted(
                node.name
                for node in _nodes(project, consumers)
                if node.domain is not None and node.domain not in begins
            )
        ),
        domains=tuple(sorted({node.domain for node in reached if node.domain is not None})),
        owners=tuple(sorted({node.owner for node in reached})),
        tags=tuple(sorted({tag for node in reached for tag in node.tags})),
    )


def _nodes(project: Project, names: Iterable[str]) -> list[Node]:
    return [node for name in names if (node := project.node(name)) is not None]


def consumers_of(compiled: Compiled, names: Iterable[str]) -> list[str]:
    """Return the consumers that read `names`, directly or through views."""
    below, consumers = NodeGraph(compiled, data_only=True).below, compiled.project.consumers

    def through_views(name: str) -> list[str]:
        readers = below.get(name, ())
        return [item for item in readers if item in consumers or is_view(compiled.project, item)]

    return sorted(name for name in reachable(set(names), through_views) if name in consumers)


def _roots(compiled: Compiled, names: Sequence[str]) -> list[str]:
    """Return the nodes that read none of the others."""
    above = NodeGraph(compiled, data_only=True).above
    return [name for name in names if not set(above.get(name, ())) & set(names)]


def _published_rows(tx: Transaction | None, spans: Iterable[tuple[str, str, str]]) -> int:
    if tx is None:
        return 0
    return sum(publications.rows_between(tx, node, first, last) for node, first, last in spans)


def _classified(compiled: Compiled, names: Iterable[str], cache: Path) -> list[str]:
    """Return the columns of these nodes that are classified, or computed from such."""
    columns = classified_columns(compiled, compile_lineage(compiled, cache))
    return [f"{name}.{column}" for name in names for column in sorted(columns.get(name, ()))]


def _exported_clear(project: Project, names: Iterable[str]) -> list[str]:
    """Return the columns that the changed exports among these nodes write as they are."""
    return [
        f"{read}.{column}"
        for name in names
        if (consumer := project.consumers.get(name)) is not None
        for column in clear_columns(consumer)
        for read in consumer.reads
    ]


def _weaker_rules(old: Project, new: Project) -> list[str]:
    """Return the rules of policy that a change removes or rewrites, in words."""
    after = {rule.name: rule for rule in new.settings.policy_rules}
    results = []
    for rule in old.settings.policy_rules:
        now = after.get(rule.name)
        if now is None:
            results.append(f"{SETTINGS_FILE}: the rule {rule.name} is removed")
        elif _content(now) != _content(rule):
            results.append(f"{SETTINGS_FILE}: the rule {rule.name} is changed")
    return results


# Rules


def in_force(applied: Settings, declared: Settings) -> tuple[PolicyRule, ...]:
    """Return the rules for computing data: the applied ones, and those that are declared only.

    So a new rule holds at once, and a removed one until its removal is applied.
    """
    here = {_content(rule) for rule in applied.policy_rules}
    added = (rule for rule in declared.policy_rules if _content(rule) not in here)
    return (*applied.policy_rules, *added)


def _content(rule: PolicyRule) -> PolicyRule:
    return msgspec.structs.replace(rule, line=1)


def required(
    rules: Sequence[PolicyRule], project: Project, consequence: Consequence
) -> Approval | None:
    """Return the approval that rules ask for; None if no rule holds."""
    holding = [rule for rule in rules if parse_rule(rule.when)(consequence)]
    if not holding:
        return None
    first, *others = holding
    needs: dict[tuple[str, str], Need] = {}
    for rule in holding:
        for need in _needs(project, rule, consequence):
            known = needs.get((need.role, need.of))
            if known is None or known.count < need.count:
                needs[need.role, need.of] = need
    return Approval(
        first.when,
        SETTINGS_FILE,
        first.line,
        first.name,
        tuple(needs.values()),
        tuple(f"{SETTINGS_FILE}:{rule.line} rule {rule.name!r}: {rule.when}" for rule in others),
        consequence,
    )


def _needs(project: Project, rule: PolicyRule, consequence: Consequence) -> list[Need]:
    if not rule.needs:
        anybody = NeedDeclaration(role=Role.OWNER, of=AFFECTED)
        return [_need(project, anybody, rule.count, _reached(consequence))]
    return [
        need
        for declared in rule.needs
        for need in _resolved(project, declared, rule.count, consequence)
    ]


def _reached(consequence: Consequence) -> list[str]:
    return [*consequence.nodes, *consequence.consumers]


def _resolved(
    project: Project, declared: NeedDeclaration, count: int, consequence: Consequence
) -> list[Need]:
    if declared.of == PROJECT:
        return [Need(role=declared.role, of=PROJECT, count=count)]
    if declared.of == EACH_DOMAIN and consequence.domains:
        return [
            _need(project, NeedDeclaration(role=declared.role, of=f"domain:{name}"), count, nodes)
            for name in consequence.domains
            if (nodes := _of_domain(project, name, _reached(consequence)))
        ]
    if declared.of == READING_DOMAINS:
        return _of_reading_domains(project, declared, count, consequence)
    return [_need(project, declared, count, _subject(project, declared.of, consequence))]


def _of_reading_domains(
    project: Project, declared: NeedDeclaration, count: int, consequence: Consequence
) -> list[Need]:
    """Return a need for each domain that reads a changed contract; of anything reached if none."""
    nodes: dict[str, set[str]] = {}
    for contract in consequence.contracts:
        for reader in contract.readers:
            nodes.setdefault(reader.domain, set()).update(reader.nodes)
    if not nodes:
        anything = NeedDeclaration(role=declared.role, of=AFFECTED)
        return [_need(project, anything, count, _reached(consequence))]
    return [
        _need(
            project,
            NeedDeclaration(role=declared.role, of=f"domain:{domain}"),
            count,
            sorted(nodes[domain]),
        )
        for domain in sorted(nodes)
    ]


def _subject(project: Project, of: str, consequence: Consequence) -> list[str]:
    """Return the nodes that a need is about."""
    if of == CHANGED:
        return list(consequence.nodes)
    kind, _, name = of.partition(":")
    every = [*project.sources, *project.assets, *project.consumers]
    if kind == "domain":
        return _of_domain(project, name, every)
    if kind == "owner":
        return [node.name for node in _nodes(project, every) if node.owner == name]
    return _reached(consequence)


def _of_domain(project: Project, domain: str, names: Iterable[str]) -> list[str]:
    return [node.name for node in _nodes(project, names) if node.domain == domain]


def _need(project: Project, declared: NeedDeclaration, count: int, names: Sequence[str]) -> Need:
    nodes = tuple(sorted(names))[:NODES_MAX]
    owners = {node.owner for node in _nodes(project, nodes)}
    return Need(
        role=declared.role,
        of=declared.of,
        count=count,
        owners=tuple(sorted(owners)),
        nodes=nodes,
    )
