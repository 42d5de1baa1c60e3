"""Reads `access.yaml`: the roles of people, groups and tokens, and what is forbidden."""

from __future__ import annotations

import re
from datetime import date

from headrace.model.access import (
    SUBJECT_KINDS,
    AccessRules,
    Forbid,
    Grant,
    Permission,
    Role,
    Scope,
)
from headrace.model.errors import Report, UsageError, shown
from headrace.model.fields import Fields, Items, LocatedMapping, kind_of

GRANT_FIELDS = ("role", "to", "domain", "owner", "tag", "env", "until")
FORBID_FIELDS = ("forbid", "to", "domain", "owner", "tag", "env", "column")
SUBJECT_CHARACTERS_MAX = 200
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
    grants, forbids = [], []
    for index, written in enumerate(document):
        line = document.lines[index] if isinstance(document, Items) else 1
        if not isinstance(written, LocatedMapping):
            report.error(
                "wrong_type", line, f"a rule must be a mapping, not {kind_of(written)}", _EXAMPLE
            )
        elif "forbid" in written:
            forbids.append(_forbid(written, report))
        else:
            grants.append(_grant(written, report))
    return AccessRules(
        grants=tuple(rule for rule in grants if rule is not None),
        forbids=tuple(rule for rule in forbids if rule is not None),
    )


def _grant(written: LocatedMapping, report: Report) -> Grant | None:
    fields = Fields(written, report, GRANT_FIELDS, what="a rule")
    problems = len(report.problems)
    role = fields.required("role", f"add `role:` with {_listed(Role)}, or `forbid:`")
    if role is not None:
        role = fields.choice("role", tuple(Role), "")
    until = fields.checked("until", _day, "bad_time") if "until" in fields else None
    rule_to, scope = _subjects(fields), _scope(fields)
    if not role or len(report.problems) > problems:
        return None
    return Grant(
        role=Role(role),
        to=rule_to,
        scope=scope,
        until=None if until is None else _day(until),
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


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{shown(text)} is no date", hint="write until: 2027-03-01") from None


def _listed(words: type[Role]) -> str:
    return ", ".join(words)
