"""Runs `[[policy.tests]]`: what the declared rules say to an actor's plan."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.access.consequences import required
from headrace.access.permissions import by_name, decision
from headrace.model import Place, Problem, Project
from headrace.model.errors import shown
from headrace.model.files import SETTINGS_FILE
from headrace.model.policy import Expectation
from headrace.model.policy_fields import ALLOW, APPROVE, REFUSE
from headrace.project.session import ProjectSession


def problems(session: ProjectSession, project: Project) -> Iterator[Problem]:
    """Yield a problem for each test that the declared policy and `access.yaml` don't meet."""
    for test in project.settings.policy_tests:
        answer, why = _answer(session, project, test)
        if answer == test.expect:
            continue
        yield Problem(
            code="policy_test",
            message=(
                f"the policy says {shown(answer)} to {shown(test.actor)}, and the test expects"
                f" {shown(test.expect)}: {why}"
            ),
            hint="correct the rules, `access.yaml`, or what the test expects",
            place=Place(file=SETTINGS_FILE, line=test.line),
        )


def _answer(session: ProjectSession, project: Project, test: Expectation) -> tuple[str, str]:
    """Return the answer to a test's plan, and why."""
    denied = _denied(session, project, test)
    if denied:
        return REFUSE, denied
    approval = required(project.settings.policy_rules, project, test.plan)
    if approval is not None:
        return APPROVE, str(approval)
    return ALLOW, "no rule holds"


def _denied(session: ProjectSession, project: Project, test: Expectation) -> str:
    """Return why `access.yaml` doesn't let the actor ask for the plan; empty if it does."""
    if project.access is None:
        return ""
    from headrace.security.access import Identity, IdentityKind

    identity = Identity(name=test.actor, kind=IdentityKind.LOCAL, subjects=frozenset({test.actor}))
    permission = by_name()[test.command].permission
    whole = decision(session, project.access, permission, None, identity)
    if whole.allowed:
        return ""
    nodes = [project.node(name) for name in test.plan.nodes]
    about = [node for node in nodes if node is not None]
    if not about:
        return whole.reason
    decisions = (decision(session, project.access, permission, node, identity) for node in about)
    return next((item.reason for item in decisions if not item.allowed), "")
