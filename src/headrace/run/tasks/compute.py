"""The task that computes partitions of an asset."""

from __future__ import annotations

from datetime import datetime

from headrace.engine import AttemptScope
from headrace.lake.catalog import shared_files
from headrace.lake.merge_rules import MergeState
from headrace.model import Asset, CommandBody, Project, PythonBody
from headrace.model.intervals import interval_of
from headrace.model.required import WHOLE, split
from headrace.model.sizes import memory_in_bytes
from headrace.plan.views import is_view
from headrace.run.messages import BatchPartition, ComputeTask
from headrace.run.tasks.accumulating import StateGone, rule_of, state_before
from headrace.run.tasks.around import aged_from_us, of_asset
from headrace.run.tasks.history import history
from headrace.run.tasks.inputs import input_of, self_of
from headrace.run.tasks.lookup import TaskLookup, Undeliverable
from headrace.run.tasks.view_checks import beside, view_checks
from headrace.schedule import AttemptId
from headrace.store import Transaction
from headrace.store.queries import batching, leading, publications, versions

TABLES = ("table", "append", "merge", "snapshot")
"""Materialisations whose rows are in a table of the lake."""


def task(
    lookup: TaskLookup,
    tx: Transaction,
    attempt: AttemptId,
    asset: Asset,
    keys: tuple[str, ...],
    now: int,
    snapshot: int,
    without: tuple[tuple[str, str], ...] = (),
) -> ComputeTask:
    """An asset's partitions, with exactly the inputs that they require, but for the optional partitions `without` which it is made.
    Raises Undeliverable."""
    node = lookup.compiled.nodes[asset.name]
    known = lookup.table(tx, asset.name) if asset.materialize in TABLES else None
    scope = scope_of(lookup.project, asset, keys, attempt)
    prove = len(keys) > 1 and not batching.proven(tx, asset.name, node.fingerprint)
    earlier = _earlier(tx, asset, keys) if known is not None else None
    return ComputeTask(
        scope=scope,
        body=asset.body,
        sql=node.sql,
        code=lookup.code if isinstance(asset.body, PythonBody | CommandBody) else None,
        inputs=(
            *(input_of(lookup, tx, asset, spec, keys, snapshot) for spec in node.inputs),
            *((self_of(lookup, tx, asset, keys, snapshot),) if node.uses_self else ()),
        ),
        written=tuple((asset.columns or {}).get("writes", {}).items()),
        materialize=asset.materialize,
        partition_column=node.partition_column,
        table=known,
        evolve=known is not None and lookup.reshaping(tx, asset.name),
        checks=asset.checks,
        on_fail=asset.on_fail,
        history=history(tx, asset.name, keys),
        around=of_asset(lookup, tx, asset, keys),
        classified=_classified(lookup, asset),
        packages=lookup.packages(asset.name) if isinstance(asset.body, PythonBody | CommandBody) else (),
        code_packages=asset.code_packages,
        macros=lookup.project.macros if _may_use_macros(lookup, asset) else {},
        shared=tuple(shared_files(tx, asset.name, keys)) if known is not None and not asset.accumulates else (),
        references=lookup.references(tx, asset.name, snapshot),
        now_us=now,
        key_column=asset.partition.key,
        without=tuple(f"{name}@{key}" if key != WHOLE else name for name, key in without),
        views=view_checks(lookup, tx, asset, keys, snapshot),
        beside=beside(lookup, tx, asset, keys),
        merge=rule_of(asset, scope, now) if asset.accumulates else None,
        state=_state(tx, asset, keys, attempt) if asset.accumulates else None,
        memory_max_bytes=memory_in_bytes(asset.memory_max) if asset.memory_max else None,
        prove=prove,
        alone=_alone(lookup, tx, attempt, asset, keys, snapshot) if prove else None,
        environment=asset.environment,
        pass_environment=lookup.project.settings.pass_environment,
        secrets=asset.secrets,
        hidden=lookup.secrets if isinstance(asset.body, PythonBody | CommandBody) else (),
        earlier=None if earlier is None else lookup.data(tx, asset.name, [earlier], snapshot),
        earlier_failed=() if earlier is None else leading.failed_as_published(tx, asset.name, earlier),
        earlier_as_of_us=0 if earlier is None else aged_from_us(tx, asset, earlier, scope.timezone),
    )


def _earlier(tx: Transaction, asset: Asset, keys: tuple[str, ...]) -> str | None:
    """The nearest partition before one that readers see rows of, if other checks may have been declared when it was published."""
    if len(keys) != 1 or asset.accumulates or not asset.checks:
        return None
    nearest = leading.published_before(tx, asset.name, keys[0])
    published = None if nearest is None else publications.computed(tx, asset.name, nearest)
    return nearest if published is not None and published.version != versions.newest_id(tx) else None


def _classified(lookup: TaskLookup, asset: Asset) -> tuple[str, ...]:
    contract = lookup.project.contracts.get(asset.contract or asset.name)
    return tuple(column.name for column in contract.columns if column.classification) if contract else ()


def _alone(lookup: TaskLookup, tx: Transaction, attempt: AttemptId, asset: Asset, keys: tuple[str, ...], snapshot: int) -> BatchPartition:
    """The partition in the middle: what rows beside it do to its own shows there, whether they come before or after it."""
    chosen = (keys[len(keys) // 2],)
    inputs = (input_of(lookup, tx, asset, spec, chosen, snapshot) for spec in lookup.compiled.nodes[asset.name].inputs)
    return BatchPartition(scope_of(lookup.project, asset, chosen, attempt), tuple(inputs))


def _state(tx: Transaction, asset: Asset, keys: tuple[str, ...], attempt: AttemptId) -> MergeState:
    try:
        return state_before(tx, asset, keys[0], str(attempt))
    except StateGone as error:
        raise Undeliverable(str(error)) from error


def scope_of(project: Project, asset: Asset, keys: tuple[str, ...], attempt: AttemptId) -> AttemptScope:
    """What an attempt at these partitions is for."""
    start, end = _span(asset, keys)
    grain = asset.partition.grain
    return AttemptScope(
        asset=asset.name,
        partitions=keys,
        grain=grain.value if grain else None,
        start=start.isoformat() if start else None,
        end=end.isoformat() if end else None,
        timezone=asset.timezone,
        attempt=str(attempt),
        data_key=split(keys[0], asset.partition)[1] if asset.partition.key is not None else None,
        parameters={**project.settings.parameters, **asset.parameters},
    )


def _span(asset: Asset, keys: tuple[str, ...]) -> tuple[datetime | None, datetime | None]:
    if asset.partition.grain is None:
        return None, None
    intervals = [interval_of(split(key, asset.partition)[0], asset.partition.grain, asset.timezone) for key in keys]
    return min(i.start for i in intervals), max(i.end for i in intervals)


def _may_use_macros(lookup: TaskLookup, asset: Asset) -> bool:
    node = lookup.compiled.nodes[asset.name]
    reads_views = any(is_view(lookup.project, spec.node) for spec in node.inputs)
    return node.sql is not None or reads_views or any(check.kind == "sql" for check in asset.checks)
