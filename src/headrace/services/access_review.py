"""`access review`: who has which rules, for the people who confirm access from time to time."""

from __future__ import annotations

from datetime import date, datetime

from headrace.access.permissions import AUDIT, command, rules_of
from headrace.model.access import ACCESS_FILE, BreakGlass, Forbid, Grant
from headrace.project.session import ProjectSession
from headrace.responses.access import ReviewRow, ReviewRuleRow
from headrace.services.browser_sessions import list_sessions
from headrace.services.tokens import list_tokens, scope_text


@command("access review", AUDIT, session="review_access")
def review(session: ProjectSession) -> list[ReviewRow]:
    """Return each user, group and token with its rules, by kind and name.

    These are the subjects of the applied `access.yaml`, also of rules that have ended, and all
    tokens that can be used. Members of groups are known to the provider only.
    """
    rules, today = rules_of(session), session.now().date()
    tokens = {
        f"token:{row.name}": row for row in list_tokens(session) if row.state in ("valid", "frozen")
    }
    used = _last_used(session)
    of_subject: dict[str, list[ReviewRuleRow]] = {name: [] for name in tokens}
    for rule in rules.of_subjects if rules is not None else ():
        for subject in rule.to:
            of_subject.setdefault(subject, []).append(_rule_row(rule, today))
    for name, token in tokens.items():
        of_subject[name] += [_token_row(scope, token.expires_at) for scope in token.scopes]
    return [
        ReviewRow(
            who=subject,
            kind=subject.partition(":")[0],
            rules=of_subject[subject],
            last_used_at=tokens[subject].last_used_at if subject in tokens else used.get(subject),
        )
        for subject in sorted(of_subject)
    ]


def _last_used(session: ProjectSession) -> dict[str, datetime]:
    """Return who is signed in to the server → the last request of their sessions."""
    used: dict[str, datetime] = {}
    for row in list_sessions(session):
        used[row.who] = max(row.used_at, used.get(row.who, row.used_at))
    return used


def _rule_row(rule: Grant | Forbid | BreakGlass, today: date) -> ReviewRuleRow:
    if isinstance(rule, Forbid):
        kind, gives, until, columns = "forbid", str(rule.permission), None, list(rule.columns)
    else:
        kind = "break_glass" if isinstance(rule, BreakGlass) else "role"
        gives, until, columns = str(rule.role), rule.until, []
    return ReviewRuleRow(
        kind=kind,
        name=gives,
        scope=scope_text(rule.scope),
        columns=columns,
        until=None if until is None else until.isoformat(),
        ended=until is not None and until < today,
        file=ACCESS_FILE,
        line=rule.line,
    )


def _token_row(scope: str, expires_at: datetime) -> ReviewRuleRow:
    role, _, limits = scope.partition(":")
    return ReviewRuleRow(
        kind="role",
        name=role,
        scope=limits,
        columns=[],
        until=expires_at.isoformat(),
        ended=False,
        file=None,
        line=None,
    )
