"""Validates references between declarations: pools, triggers, tests, and rules of access."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date, timedelta
from typing import NamedTuple

from headrace.model.access import (
    ACCESS_FILE,
    AccessRules,
    BreakGlass,
    Forbid,
    Grant,
    Permission,
    Role,
    Scope,
)
from headrace.model.errors import Problem, ProblemLevel, UsageError, did_you_mean, shown
from headrace.model.files import SETTINGS_FILE
from headrace.model.intervals import parse_key
from headrace.model.nodes import (
    Asset,
    AssetTest,
    Consumer,
    Place,
    Project,
    Source,
    SqlBody,
)
from headrace.model.policy import PolicyRule
from headrace.model.policy_language import names_in
from headrace.model.retention import SEPARABLE, is_shortened
from headrace.model.settings import PRODUCTION

ENDS_SOON_DAYS = 14
"""`validate` warns this number of days before a rule ends."""

# Validation of pools, which must exist and have enough slots, and of the nodes that triggers name.


def scheduling_problems(project: Project) -> Iterator[Problem]:
    """Yield the problems with pools and triggers of all assets."""
    for asset in project.assets.values():
        yield from _pool_problems(asset, project.settings.pools)
        if asset.trigger is not None:
            yield from _trigger_problems(asset, project)


def _pool_problems(asset: Asset, pools: Mapping[str, int]) -> Iterator[Problem]:
    for pool, slots in asset.pools.items():
        if pool not in pools:
            hint = (
                did_you_mean(pool, pools)
                or f"add {pool} = {max(4, slots)} to [pools] in headrace.toml"
            )
            yield Problem(
                code="unknown_pool",
                message=f"unknown pool {shown(pool)} of {shown(asset.name)}",
                hint=hint,
                place=asset.place.of("pool" if "pool" in dict(asset.place.lines) else "pools"),
            )
        elif slots > pools[pool]:
            what = (
                f"{shown(asset.name)} takes {slots} slots of the pool {shown(pool)}, which has"
                f" {pools[pool]}"
            )
            yield _scheduling_error(
                asset, "pool_too_small", what, f"write {pool} = {slots} in [pools], or take less"
            )


def _trigger_problems(asset: Asset, project: Project) -> Iterator[Problem]:
    trigger, name = asset.trigger or {}, shown(asset.name)
    if asset.materialize == "view":
        what = f"{name} is a view and has a `trigger`: a view is never computed"
        yield _scheduling_error(
            asset, "conflicting_fields", what, "take `trigger` out, or write materialize: table"
        )
    source, upstream = trigger.get("arrival"), trigger.get("upstream")
    if isinstance(source, str) and source not in project.sources:
        hint = (
            did_you_mean(source, project.sources)
            or "`arrival` names a source; for an asset write upstream: NAME"
        )
        yield _scheduling_error(
            asset, "unknown_node", f"unknown source {shown(source)} in `trigger` of {name}", hint
        )
    if (
        isinstance(upstream, str)
        and upstream not in project.sources
        and upstream not in project.assets
    ):
        known = [*project.sources, *project.assets]
        hint = did_you_mean(upstream, known) or "`headrace ls` shows the nodes that there are"
        yield _scheduling_error(
            asset, "unknown_node", f"unknown node {shown(upstream)} in `trigger` of {name}", hint
        )
    elif isinstance(upstream, str) and upstream == asset.name:
        yield _scheduling_error(
            asset, "wrong_value", f"{name} is its own trigger", "name another node"
        )


def _scheduling_error(asset: Asset, code: str, message: str, hint: str) -> Problem:
    return Problem(code=code, message=message, hint=hint, place=asset.place)


# Validation of `retain`: only partitions by time can be removed, one by one.


def retention_problems(project: Project) -> Iterator[Problem]:
    """Yield the problems with `retain` of sources and assets."""
    nodes: list[Source | Asset] = [*project.sources.values(), *project.assets.values()]
    for node in nodes:
        if node.retain is None:
            continue
        name, out = shown(node.name), "take `retain` out"
        if node.partition.grain is None:
            yield Problem(
                code="wrong_value",
                message=f"{name} has `retain`, and isn't partitioned by time",
                hint=f"add `partition: day`, or {out}",
                place=node.place,
            )
        elif isinstance(node, Asset) and node.materialize not in SEPARABLE:
            yield Problem(
                code="conflicting_fields",
                message=f"{name} has `retain`, and materialize: {node.materialize}",
                hint=f"its partitions can't be removed one by one: {out}",
                place=node.place,
            )


def rebuildable_problems(project: Project) -> Iterator[Problem]:
    """Yield the problems with `retain_rebuildable`: what is removed must be computable again."""
    for asset in project.assets.values():
        if asset.retain_rebuildable is None:
            continue
        why = None
        if asset.partition.grain is None:
            why = "isn't partitioned by time"
        elif asset.materialize != "table":
            why = f"has materialize: {asset.materialize}"
        elif not isinstance(asset.body, SqlBody):
            why = "isn't SQL, so Headrace can't tell whether it gives the same rows again"
        elif asset.retain is not None and not is_shortened(asset.retain, asset.retain_rebuildable):
            why = f"keeps nothing longer than that: retain: {asset.retain}"
        if why is not None:
            yield Problem(
                code="conflicting_fields",
                message=f"{shown(asset.name)} has `retain_rebuildable`, and {why}",
                hint="take `retain_rebuildable` out",
                place=asset.place,
            )


# Validation of tests: the asset, inputs and partition that a test names must exist.


def problems_of_tests(project: Project) -> Iterator[Problem]:
    """Yield the problems of all tests whose asset exists."""
    readable = [*project.sources, *project.assets]
    for test in project.tests:
        asset = project.assets.get(test.asset)
        if asset is not None:
            yield from _given_problems(test, readable)
            yield from _partition_problems(test, asset)


def _given_problems(test: AssetTest, readable: list[str]) -> Iterator[Problem]:
    known = {name.lower() for name in readable}
    for name in test.given:
        if name.lower() not in known:
            hint = (
                did_you_mean(name, readable)
                or "give rows of sources and assets that the asset reads"
            )
            message = f"unknown node {shown(name)} in `given` of the test {shown(test.name)}"
            yield Problem(code="unknown_node", message=message, hint=hint, place=test.place)


def _partition_problems(test: AssetTest, asset: Asset) -> Iterator[Problem]:
    grain, key = asset.partition.grain, test.partition
    if key is None or key == "*":
        if grain is not None or asset.partition.key is not None:
            message = (
                f"the test {shown(test.name)} doesn't say which partition of {shown(asset.name)} is"
                " computed"
            )
            hint = (
                f"add partition: with a {grain.value if grain is not None else asset.partition.key}"
            )
            yield Problem(code="missing_field", message=message, hint=hint, place=test.place)
        return
    if grain is None or asset.partition.key is not None:
        return
    try:
        parse_key(key, grain, asset.timezone)
    except UsageError as error:
        message = f"`partition` of the test {shown(test.name)}: {error}"
        yield Problem(code="wrong_value", message=message, hint=error.hint, place=test.place)


# Validation of `access.yaml`: a rule that names nothing would forbid nothing, without a word.


def access_problems(project: Project) -> Iterator[Problem]:
    """Yield the names in `access.yaml` that no node has; the project must have the file."""
    access = project.access
    assert access is not None
    known = _scope_names(project)
    for rule in access.of_subjects:
        yield from _scope_problems(rule, known)
    for forbid in access.forbids:
        yield from _column_problems(project, forbid)
    admins = {subject for grant in access.grants if _is_admin(grant) for subject in grant.to}
    if admins:
        yield from _forbidden_admins(access, admins)
    else:
        yield Problem(
            code="no_admin",
            message="nobody has the role admin without a limit and without an end",
            hint="add - {role: admin, to: [user:NAME]}",
            place=Place(file=ACCESS_FILE, line=1),
        )


def _forbidden_admins(access: AccessRules, admins: set[str]) -> Iterator[Problem]:
    """Yield the rules that leave nobody who may administer the project, or apply changes."""
    for permission in (Permission.ADMINISTER, Permission.CHANGE):
        rules = [
            rule
            for rule in access.forbids
            if rule.permission is permission and not rule.columns and not rule.scope.env
        ]
        if rules and admins <= {subject for rule in rules for subject in rule.to}:
            yield Problem(
                code="no_admin",
                message=f"everybody with the role admin is forbidden `{permission}`",
                hint="leave out one admin: a rule that forbids overrides every role",
                place=Place(file=ACCESS_FILE, line=rules[-1].line),
            )


def ending_rules(rules: AccessRules | None, today: date) -> Iterator[Problem]:
    """Yield a warning for each rule that ends within ENDS_SOON_DAYS, or has ended."""
    for rule in rules_that_end(rules, today):
        yield Problem(
            code="rule_ends",
            message=f"the rule about {rule.text}{': it gives nothing' if rule.ended else ''}",
            hint="remove it, or write a later `until`",
            place=Place(file=ACCESS_FILE, line=rule.line),
            level=ProblemLevel.WARNING,
        )


class EndingRule(NamedTuple):
    """A rule of access that ends within 14 days, or has ended; `text` and `who` name subjects."""

    until: date
    line: int
    ended: bool
    text: str
    who: str


def rules_that_end(rules: AccessRules | None, today: date) -> list[EndingRule]:
    """Return the rules that end within 14 days or have ended, the first to end first."""
    results = []
    for rule in rules.of_subjects if rules is not None else ():
        until = None if isinstance(rule, Forbid) else rule.until
        if until is None or until > today + timedelta(days=ENDS_SOON_DAYS):
            continue
        names = ", ".join(rule.to[:3]) + (f" and {len(rule.to) - 3} more" if rule.to[3:] else "")
        ended = until < today
        text = f"{names} ended on {until}" if ended else f"{names} ends after {until}"
        more = f" and {len(rule.to) - 1} more" if rule.to[1:] else ""
        results.append(EndingRule(until, rule.line, ended, text, f"{rule.to[0]}{more}"))
    return sorted(results)


# Validation of `[policy]`: a rule about a name that nothing has never asks for an approval.


def policy_problems(project: Project) -> Iterator[Problem]:
    """Yield the names in rules of `headrace.toml` that no node has."""
    known = _scope_names(project)
    for rule in project.settings.policy_rules:
        for kind, name, level in _names_in(rule):
            if name not in known[kind]:
                yield Problem(
                    code="unknown_scope",
                    message=f"the rule {shown(rule.name)}: no node has the {kind} {shown(name)}",
                    hint=did_you_mean(name, known[kind]) or _known_names(kind, known[kind]),
                    place=Place(file=SETTINGS_FILE, line=rule.line),
                    level=level,
                )


def _names_in(rule: PolicyRule) -> Iterator[tuple[str, str, ProblemLevel]]:
    """Yield (kind, name, level of the problem): without its approvers, a rule holds all back."""
    for kind, name in names_in(rule.when):
        yield kind, name, ProblemLevel.WARNING
    for need in rule.needs:
        kind, colon, name = need.of.partition(":")
        if colon:
            yield kind, name, ProblemLevel.ERROR


def _scope_names(project: Project) -> dict[str, set[str]]:
    """Return the names that each field of a scope may have."""
    nodes: list[Source | Asset | Consumer] = [
        *project.sources.values(),
        *project.assets.values(),
        *project.consumers.values(),
    ]
    return {
        "domain": {node.domain for node in nodes if node.domain is not None},
        "owner": set(project.owners),
        "tag": {tag for node in nodes for tag in node.tags},
        "env": {PRODUCTION, *project.settings.environments},
    }


def _scope_problems(
    rule: Grant | Forbid | BreakGlass, known: Mapping[str, set[str]]
) -> Iterator[Problem]:
    for what, hint in _unknown_names(rule.scope, known):
        yield _access_error(rule, what, hint)


def unknown_names(project: Project, scope: Scope) -> list[tuple[str, str]]:
    """Return, for each name in a scope that nothing has, what is wrong and a hint."""
    return list(_unknown_names(scope, _scope_names(project)))


def _unknown_names(scope: Scope, known: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    for field, names in known.items():
        for name in getattr(scope, field):
            if name not in names:
                what = (
                    f"there is no environment {shown(name)}"
                    if field == "env"
                    else f"no node has the {field} {shown(name)}"
                )
                yield what, did_you_mean(name, names) or _known_names(field, names)


def _is_admin(grant: Grant) -> bool:
    """Whether a grant makes somebody an admin without a limit and without an end."""
    return grant.role is Role.ADMIN and grant.until is None and grant.scope == Scope()


def _column_problems(project: Project, rule: Forbid) -> Iterator[Problem]:
    known = {name.lower(): name for name in (*project.sources, *project.assets)}
    for column in rule.columns:
        name = column.partition(".")[0]
        if name not in known:
            hint = did_you_mean(name, known) or "`headrace ls` lists the sources and assets"
            yield _access_error(rule, f"no source or asset is called {shown(name)}", hint)


def _known_names(field: str, known: Collection[str]) -> str:
    if not known:
        return f"no node has a {field}"
    return f"known: {', '.join(sorted(known)[:8])}"


def _access_error(rule: Grant | Forbid | BreakGlass, message: str, hint: str) -> Problem:
    place = Place(file=ACCESS_FILE, line=rule.line)
    return Problem(code="unknown_scope", message=message, hint=hint, place=place)
