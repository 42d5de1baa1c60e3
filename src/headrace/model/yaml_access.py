"""Reads `access.yaml`: the roles of people, groups and tokens, and what is forbidden."""

from __future__ import annotations

import re
from datetime import date

from headrace.model.access import (
    SUBJECT_KINDS,
    AccessRules,
    BreakGlass,
    Forbid,
    Grant,
    Permission,
    Role,
    SamePerson,
    Scope,
)
from headrace.model.errors import Report, UsageError, shown
from headrace.model.fields import Fields, Items, LocatedMapping, kind_of

GRANT_FIELDS = ("role", "to", "domain", "owner", "tag", "env", "until")
FORBID_FIELDS = ("forbid", "to", "domain", "owner", "tag", "env", "column")
BREAK_GLASS_FIELDS = (
    "break_glass", "to", "domain", "owner", "tag", "env", "until", "administer",
)  # fmt: skip
PERSON_FIELDS = ("same_person",)
SUBJECT_CHARACTERS_MAX = 200
NAMES_MIN = 2
_SUBJECT = re.compile(rf"(?:{'|'.join(SUBJECT_KINDS)}):[^\s:][^\s]*")
_EXAMPLE = "write - {role: viewer, to: [user:ana]}"
_SUBJECT_HINT = "write user:NAME, group:NAME or token:NAME"


def read_access(document: object, report: Report) -> AccessRules:
    """Return all rules of the file; a rule with a problem is reported and left out."""
    if not isinstance(document, list):
        report.error(
            "wrong_type",
            1,
            f"access.yaml must be a list of rules, not {kind_of(document)}",
            _EXAMPLE,
        )
        return AccessRules()
    rules = [
        _rule(written, document.lines[index] if isinstance(document, Items) else 1, report)
        for index, written in enumerate(document)
    ]
    return AccessRules(
        grants=tuple(rule for rule in rules if isinstance(rule, Grant)),
        forbids=tuple(rule for rule in rules if isinstance(rule, Forbid)),
        emergencies=tuple(rule for rule in rules if isinstance(rule, BreakGlass)),
        people=tuple(rule for rule in rules if isinstance(rule, SamePerson)),
    )


def _rule(
    written: object, line: int, report: Report
) -> Grant | Forbid | BreakGlass | SamePerson | None:
    """Return one rule, of the kind that its first field says; None for one with a problem."""
    if not isinstance(written, LocatedMapping):
        report.error(
            "wrong_type", line, f"a rule must be a mapping, not {kind_of(written)}", _EXAMPLE
        )
        return None
    if "forbid" in written:
        return _forbid(written, report)
    if "break_glass" in written:
        return _break_glass(written, report)
    if "same_person" in written:
        return _same_person(written, report)
    return _grant(written, report)


def _grant(written: LocatedMapping, report: Report) -> Grant | None:
    fields = Fields(written, report, GRANT_FIELDS, what="a rule")
    problems = len(report.problems)
    role = fields.required("role", f"add `role:` with {', '.join(Role)}, or `forbid:`")
    if role is not None:
        role = fields.choice("role", tuple(Role), "")
    rule_to, scope, until = _subjects(fields), _scope(fields), _until(fields)
    if not role or len(report.problems) > problems:
        return None
    return Grant(
        role=Role(role),
        to=rule_to,
        scope=scope,
        until=until,
        line=written.line,
    )


def _forbid(written: LocatedMapping, report: Report) -> Forbid | None:
    fields = Fields(written, report, FORBID_FIELDS, what="a rule")
    problems = len(report.problems)
    permission = fields.choice("forbid", tuple(Permission), "")
    columns = tuple(name.lower() for name in fields.texts("column"))
    for name in columns:
        if not all(name.partition(".")[::2]):
            fields.refuse("column", f"{shown(name)} names no column", "write NODE.COLUMN")
    if columns and permission not in ("", Permission.READ):
        fields.refuse(
            "column", f"a column can't be forbidden to {permission}", "write forbid: read"
        )
    rule_to, scope = _subjects(fields), _scope(fields)
    if not permission or len(report.problems) > problems:
        return None
    return Forbid(
        permission=Permission(permission),
        to=rule_to,
        scope=scope,
        columns=columns,
        line=written.line,
    )


def _break_glass(written: LocatedMapping, report: Report) -> BreakGlass | None:
    fields = Fields(written, report, BREAK_GLASS_FIELDS, what="a rule")
    problems = len(report.problems)
    role = fields.choice("break_glass", tuple(Role), "")
    administer = fields.flag("administer") or False
    if administer and role not in ("", Role.ADMIN):
        fields.refuse(
            "administer", f"the role {role} has no `administer`", "write break_glass: admin"
        )
    rule_to, scope, until = _subjects(fields), _scope(fields), _until(fields)
    if not role or len(report.problems) > problems:
        return None
    return BreakGlass(
        role=Role(role),
        to=rule_to,
        scope=scope,
        until=until,
        administer=administer,
        line=written.line,
    )


def _same_person(written: LocatedMapping, report: Report) -> SamePerson | None:
    fields = Fields(written, report, PERSON_FIELDS, what="a rule")
    problems = len(report.problems)
    names = tuple(dict.fromkeys(fields.texts("same_person")))
    for name in names:
        if not name.startswith("user:") or not _SUBJECT.fullmatch(name):
            fields.refuse("same_person", f"{shown(name)} is no user", "write user:NAME")
    if len(names) < NAMES_MIN and len(report.problems) == problems:
        fields.refuse(
            "same_person",
            "a person with one name needs no rule",
            "write two names: [user:ana, user:SUB@ISSUER]",
        )
    return None if len(report.problems) > problems else SamePerson(names=names, line=written.line)


def _subjects(fields: Fields) -> tuple[str, ...]:
    """Return the subjects of `to:`."""
    subjects = fields.texts("to")
    if not subjects:
        fields.report.error(
            "missing_field", fields.line("to"), f"{fields.what} names nobody", _SUBJECT_HINT
        )
    for subject in subjects:
        if len(subject) > SUBJECT_CHARACTERS_MAX or not _SUBJECT.fullmatch(subject):
            fields.refuse("to", f"{shown(subject)} is no user, group or token", _SUBJECT_HINT)
    return tuple(dict.fromkeys(subjects))


def _scope(fields: Fields) -> Scope:
    return Scope(
        domain=fields.texts("domain"),
        owner=fields.texts("owner"),
        tag=fields.texts("tag"),
        env=fields.texts("env"),
    )


def _until(fields: Fields) -> date | None:
    text = fields.checked("until", _day, "bad_time") if "until" in fields else None
    return None if text is None else _day(text)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{shown(text)} is no date", hint="write until: 2027-03-01") from None
