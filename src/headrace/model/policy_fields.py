"""Reads `[policy]` of `headrace.toml`: rules that ask for approvals, and their tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from headrace.model.access import PERMISSIONS, SUBJECT_KINDS, Permission, Role
from headrace.model.errors import Report, UsageError, shown
from headrace.model.fields import Fields, Items, LocatedMapping, kind_of
from headrace.model.policy import (
    APPROVAL,
    FLAGS,
    ChangedContract,
    Consequence,
    Expectation,
    NeedDeclaration,
    PolicyRule,
)
from headrace.model.policy_language import constant, numbers_in, parse_rule

POLICY_FIELDS = (APPROVAL, "rule", "tests")
RULE_FIELDS = ("name", "when", "needs", "count")
TEST_FIELDS = ("actor", "plan", "expect")
COUNT_MAX = 20
AFFECTED, CHANGED, EACH_DOMAIN, PROJECT = "affected", "changed", "affected_domains", "project"
READING_DOMAINS = "reading_domains"
OF = (AFFECTED, CHANGED, EACH_DOMAIN, READING_DOMAINS, PROJECT)
"""Whose role counts: of a reached node, of a changed node, of each reached domain, of each other
domain that reads a changed contract, or of the whole project; besides, `domain:NAME` and
`owner:NAME`."""
APPROVERS = tuple(role.value for role in Role if Permission.APPROVE in PERMISSIONS[role])
ALLOW, APPROVE, REFUSE = "allow", "approve", "refuse"
EXPECTED = (ALLOW, APPROVE, REFUSE)
COMMANDS = ("backfill", "run", "apply", "fix", "quarantine accept")
_COUNTS = ("partitions", "rows", "bytes", "seconds", "cost")
_LISTS = ("nodes", "consumers", "crossing", "domains", "owners", "tags")
PLAN_FIELDS = ("command", *_COUNTS, *_LISTS, *FLAGS, "contracts")
_NUMBER_MAX = 1 << 62


def read_rules(policy: Fields) -> tuple[PolicyRule, ...]:
    """Return the valid rules; report the others, all at once."""
    rules = [*_old_rule(policy)]
    for block in _tables(policy, "rule"):
        rule = _rule(Fields(block, policy.report, RULE_FIELDS, what="a rule of [policy]"))
        if rule is not None:
            rules.append(rule)
    _refuse_contradictions(rules, policy.report)
    return tuple(rules)


def refuse_unknown_costs(rules: Iterable[PolicyRule], report: Report) -> None:
    """Report rules about `cost` in a project whose `[costs]` has no rates: it is never known."""
    for rule in rules:
        if "cost" in numbers_in(rule.when):
            report.error(
                "missing_field",
                rule.line,
                f"the rule {shown(rule.name)} is about `cost`, and there are no rates in [costs]",
                'add [costs] with currency = "EUR" and slot_hour = 0.12',
            )


def _old_rule(policy: Fields) -> Iterator[PolicyRule]:
    text = _condition(policy, APPROVAL) if APPROVAL in policy else None
    if text is not None:
        yield PolicyRule(name=APPROVAL, when=text, line=policy.line(APPROVAL))


def _tables(policy: Fields, name: str) -> Iterator[LocatedMapping]:
    value = policy.raw(name)
    if value is None:
        return
    if not isinstance(value, Items):
        policy.wrong(name, "a list of tables", f"write [[policy.{name}]]")
        return
    for item, line in zip(value, value.lines, strict=True):
        if isinstance(item, LocatedMapping):
            yield item
        else:
            policy.report.error(
                "wrong_type",
                line,
                f"{shown(name)} must be a list of tables, not of {kind_of(item)}",
                f"write [[policy.{name}]]",
            )


def _condition(fields: Fields, name: str) -> str | None:
    text = fields.text(name)
    if text is None:
        return None
    try:
        parse_rule(text)
    except UsageError as error:
        fields.refuse(name, f"{shown(name)} isn't a rule: {error}", error.hint)
        return None
    return text


def _rule(fields: Fields) -> PolicyRule | None:
    name = fields.required("name", 'add name = "large"')
    if "when" not in fields:
        fields.required("when", 'add when = "partitions > 100"')
    when = _condition(fields, "when") if "when" in fields else None
    count = fields.whole("count", minimum=1, maximum=COUNT_MAX) if "count" in fields else 1
    needs = tuple(_needs(fields))
    if name is None or when is None or count is None or len(needs) != len(_items(fields)):
        return None
    return PolicyRule(name=name, when=when, needs=needs, count=count, line=fields.block.line)


def _items(fields: Fields) -> list[Any]:
    value = fields.raw("needs")
    return value if isinstance(value, list) else []


def _needs(fields: Fields) -> Iterator[NeedDeclaration]:
    if "needs" in fields and not isinstance(fields.raw("needs"), list):
        fields.wrong("needs", "a list", 'write needs = [{role = "owner", of = "affected"}]')
        return
    seen: set[tuple[str, str]] = set()
    for item in _items(fields):
        if not isinstance(item, LocatedMapping):
            fields.wrong("needs", "a list", 'write needs = [{role = "owner", of = "affected"}]')
            return
        inner = Fields(item, fields.report, ("role", "of"), what="`needs`")
        role, of = _role(inner), _of(inner)
        if role is None or of is None:
            continue
        if (role, of) in seen:
            fields.refuse(
                "needs", f"`needs` names {role} of {of} twice", "write count = 2 for two people"
            )
            continue
        seen.add((role, of))
        yield NeedDeclaration(role=Role(role), of=of)


def _role(fields: Fields) -> str | None:
    role = fields.required("role", 'add role = "owner"')
    if role is None or role in APPROVERS:
        return role
    message = (
        f"the role {role} can't approve"
        if role in {item.value for item in Role}
        else f"there is no role {shown(role)}"
    )
    fields.refuse("role", message, f"one of {', '.join(APPROVERS)}")
    return None


def _of(fields: Fields) -> str | None:
    of = fields.text("of") if "of" in fields else AFFECTED
    if of is None or of in OF:
        return of
    kind, colon, name = of.partition(":")
    if colon and name and kind in ("domain", "owner"):
        return of
    fields.refuse("of", f"`of` can't be {shown(of)}", f"one of {', '.join(OF)}, domain:, owner:")
    return None


def _refuse_contradictions(rules: list[PolicyRule], report: Report) -> None:
    """Report names that two rules have, and warn of rules that no plan or every plan meets."""
    first: dict[str, int] = {}
    for rule in rules:
        if rule.name in first:
            report.error(
                "duplicate_name",
                rule.line,
                f"line {first[rule.name]} has a rule {shown(rule.name)} already",
                "each rule has a name of its own",
            )
        first.setdefault(rule.name, rule.line)
        value = constant(rule.when)
        if value is not None:
            always = "every plan meets it" if value else "no plan can meet it"
            report.warning(
                "wrong_value",
                rule.line,
                f"the rule {shown(rule.name)} is {shown(rule.when)}: {always}",
                "correct its conditions",
            )


# `[[policy.tests]]`


def read_tests(policy: Fields) -> tuple[Expectation, ...]:
    """Return the valid tests; report the others."""
    results = []
    for block in _tables(policy, "tests"):
        test = _test(Fields(block, policy.report, TEST_FIELDS, what="a test of [policy]"))
        if test is not None:
            results.append(test)
    return tuple(results)


def _test(fields: Fields) -> Expectation | None:
    actor = fields.required("actor", 'add actor = "user:ana"')
    expect = fields.required("expect", 'add expect = "approve"')
    plan = fields.block_of("plan")
    if "plan" not in fields:
        fields.report.error(
            "missing_field", fields.block.line, "the test has no `plan`", "add plan = {rows = 10}"
        )
    if expect is not None and expect not in EXPECTED:
        fields.refuse(
            "expect", f"`expect` can't be {shown(expect)}", f"one of {', '.join(EXPECTED)}"
        )
        expect = None
    if actor is not None and not _is_subject(actor):
        fields.refuse("actor", f"{shown(actor)} is no actor", "write user:NAME, group: or token:")
        actor = None
    if plan is None:
        return None
    inner = Fields(plan, fields.report, PLAN_FIELDS, what="`plan`")
    consequence = _consequence(inner)
    command = inner.choice("command", COMMANDS, COMMANDS[0])
    if actor is None or expect is None:
        return None
    return Expectation(
        actor=actor, plan=consequence, command=command, expect=expect, line=fields.block.line
    )


def _is_subject(actor: str) -> bool:
    kind, colon, name = actor.partition(":")
    return bool(colon and name) and kind in SUBJECT_KINDS


def _consequence(fields: Fields) -> Consequence:
    counts = {
        name: fields.whole(name, minimum=0, maximum=_NUMBER_MAX) or 0
        for name in _COUNTS
        if name in fields
    }
    lists = {name: fields.texts(name) for name in _LISTS if name in fields}
    flags = {name: ("as the test says",) for name in FLAGS if name in fields and fields.flag(name)}
    names = (fields.texts("contracts") or ()) if "contracts" in fields else ()
    contracts = tuple(ChangedContract(node=name) for name in names)
    return Consequence(**counts, **lists, **flags, contracts=contracts)  # type: ignore[arg-type]
