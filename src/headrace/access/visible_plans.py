"""What somebody whose roles are limited to some nodes sees of a plan: its effects on these nodes.

A plan is about all files, so one that also changes something else can't be agreed to by such a
role: it has no id then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from headrace.access.agreements import STEP_DIFFERENCES
from headrace.access.permissions import visible_of
from headrace.access.visibility import HiddenNodes
from headrace.model import Asset, Consumer, Project, ProjectError, Refused, Source
from headrace.model.policy import Approval
from headrace.plan.contracts import ContractBreak
from headrace.project.session import InvalidProject, ProjectSession
from headrace.responses import Affects, ApplyResponse, PlanResponse, RefusedRow
from headrace.responses.plans import NeededRow

UNCHANGED = "unchanged"
R = TypeVar("R")


class VisiblePlan:
    """Filters what a plan from one project to another contains, for the identity of a session."""

    def __init__(self, session: ProjectSession, projects: Sequence[Project]) -> None:
        self._nodes = [node for project in projects for node in project.nodes()]
        self._visible = visible_of(session, self._nodes)
        names = {node.name for node in self._nodes}
        self._hidden = HiddenNodes(names - self._visible, self._visible)
        self._declares = _declared_nodes(projects)

    def plan(self, response: PlanResponse) -> PlanResponse:
        """Return the plan without hidden nodes, and without files that declare such or none.

        The id, the estimate and the counts of backfills cover all that the plan changes. They are
        null if that is more than what is visible.
        """
        changes = self._about(response.changes, lambda row: row.node)
        steps = self._about(response.steps, lambda row: row.node)
        stale = self._about(response.stale, lambda row: row.node)
        repairs = self._about(response.repairs, lambda row: row.node)
        backfills = [row for row in response.backfills if self._shows(*row.select)]
        beyond = len(changes) < len(response.changes) or self._changes_other_files(response)
        left_out = (
            beyond
            or len(steps) < len(response.steps)
            or len(stale) + len(repairs) < len(response.stale) + len(response.repairs)
            or len(backfills) < len(response.backfills)
        )
        consumers = [name for name in response.affects.consumers if self._shows(name)]
        touched = {*consumers, *(row.node for row in changes), *(row.node for row in stale)}
        limited = msgspec.structs.replace(
            response,
            plan_id=None if beyond else response.plan_id,
            files=[file for file in response.files if self.shows_file(file.path)],
            steps=[msgspec.structs.replace(row, n=n) for n, row in enumerate(steps, start=1)],
            changes=changes,
            affects=Affects(consumers=consumers, owners=self._owners(touched)),
            estimate=None if left_out else response.estimate,
            bytes_estimate=None if left_out else response.bytes_estimate,
            compute=None if left_out else response.compute,
            month=None if left_out else response.month,
            weakens=self._about(response.weakens, lambda row: row.node),
            classified=self._about(response.classified, lambda row: row.column.partition(".")[0]),
            unclassified=self._about(response.unclassified, lambda name: name.partition(".")[0]),
            removes=self._about(response.removes, lambda row: row.node),
            pruned=self._about(response.pruned, lambda row: row.node),
            rebuildable=self._about(response.rebuildable, lambda row: row.node),
            stale=stale,
            repairs=repairs,
            backfills=[_counted(row, counts=not left_out) for row in backfills],
            built=self._about(response.built, lambda row: row.node),
            agreements=self._about(response.agreements, lambda row: row.node),
            approval=None if beyond else self._approval(response.approval),
            next="headrace status" if beyond else response.next,
            left_out="changes" if beyond else "effects" if left_out else None,
        )
        visible: PlanResponse = self._hidden.without(limited)
        return visible

    def applied(self, response: ApplyResponse) -> ApplyResponse:
        """Return what `apply` did, without hidden nodes."""
        limited = msgspec.structs.replace(
            response,
            plan=self.plan(response.plan),
            refused=self._refused(response.refused),
            promoted=self._about(response.promoted, lambda row: row.node),
            stale=self._about(response.stale, lambda row: row.node),
            backfills=[
                _counted(row, counts=False)
                for row in response.backfills
                if self._shows(*row.select)
            ],
        )
        visible: ApplyResponse = self._hidden.without(limited)
        return visible

    def _refused(self, row: RefusedRow | None) -> RefusedRow | None:
        """Return how a plan differs from an earlier one, in visible files and of visible nodes."""
        if row is None:
            return None
        files = [path for path in row.files if self.shows_file(path)]
        changed = [text for text in row.changed if self._may_tell(text)]
        return msgspec.structs.replace(row, files=files, changed=changed)

    def _may_tell(self, text: str) -> bool:
        """Whether a difference is of the whole plan, or of a visible node.

        A node that neither version of the project has isn't among the hidden ones.
        """
        about_step = text.startswith(STEP_DIFFERENCES)
        return self._hidden.text(text) == text and (
            not about_step or not self._visible.isdisjoint(text.split())
        )

    def _shows(self, *names: str) -> bool:
        return self._visible.issuperset(names)

    def _about(self, rows: Iterable[R], node: Callable[[R], str]) -> list[R]:
        return [row for row in rows if self._shows(node(row))]

    def text(self, text: str) -> str:
        """Return a text without the names of hidden nodes, applied or not."""
        return self._hidden.text(text)

    def shows_file(self, path: str) -> bool:
        """Whether a file declares visible nodes only, and at least one."""
        names = self._declares.get(path, set())
        return bool(names) and self._shows(*names)

    def _changes_other_files(self, response: PlanResponse) -> bool:
        """Whether a changed file declares no visible node."""
        return any(
            file.change != UNCHANGED and not self._declares.get(file.path, set()) & self._visible
            for file in response.files
        )

    def _owners(self, names: Iterable[str]) -> list[str]:
        touched = set(names)
        return sorted({node.owner for node in self._nodes if node.name in touched})

    def _approval(self, approval: Approval | None) -> Approval | None:
        """Return the approval with whom to ask for it, and without hidden nodes."""
        if approval is None:
            return None
        needs = tuple(
            msgspec.structs.replace(need, nodes=tuple(filter(self._shows, need.nodes)))
            for need in approval.needs
        )
        return msgspec.structs.replace(approval, needs=needs, consequence=None)


def _declared_nodes(projects: Sequence[Project]) -> dict[str, set[str]]:
    """Return path → the nodes that a file declares, or whose contract it declares."""
    results: dict[str, set[str]] = {}
    for project in projects:
        for node in project.nodes():
            for file in _files_of(project, node):
                results.setdefault(file, set()).add(node.name)
    return results


def _files_of(project: Project, node: Source | Asset | Consumer) -> Iterator[str]:
    yield node.place.file
    if isinstance(node, Consumer):
        return
    contract = project.contracts.get(node.contract or "")
    if contract is not None:
        yield contract.place.file


def _counted(row: NeededRow, *, counts: bool) -> NeededRow:
    return row if counts else msgspec.structs.replace(row, counts=None)


@contextmanager
def without_hidden_errors(session: ProjectSession) -> Iterator[None]:
    """Raise an error that names no file of somebody else, if a limited role can't get a plan."""
    try:
        yield
    except InvalidProject:
        if session.visible is None:
            raise
        raise ProjectError(
            "files of the project have errors, so there is no plan",
            hint="`headrace validate` shows the errors in files of your nodes",
        ) from None


def visible_breaks(
    session: ProjectSession, breaks: Sequence[ContractBreak]
) -> Sequence[ContractBreak]:
    """Return the breaks of contracts that may be named. Raise Refused if there are only others."""
    visible = [item for item in breaks if session.shows(item.asset)]
    if breaks and not visible:
        raise Refused(
            "a contract takes back what it promised, of an asset that your roles don't reach",
            hint="somebody whose roles reach it runs `headrace plan`",
        )
    return visible
