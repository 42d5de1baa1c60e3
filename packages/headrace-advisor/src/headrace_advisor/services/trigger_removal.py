"""`bottleneck apply`: remove a trigger that consumers waited for with all inputs there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from headrace.extension import (
    CHANGE,
    Argument,
    Asset,
    HeadraceError,
    Progress,
    ProjectSession,
    Refused,
    Window,
    command,
)
from headrace.model.times import duration
from headrace.plan import Compiled
from headrace.project.session import usable
from headrace.project.status_facts import WINDOW
from headrace.responses import ApplyResponse, PlanResponse
from headrace_advisor.responses.advice import DelayProposalRow
from headrace_advisor.services.bottleneck import bottleneck
from headrace_advisor.services.changed_assets import compiled_with, text_of
from headrace_advisor.services.dismissed import refuse_dismissed
from headrace_advisor.services.removed_fields import without_field
from headrace_advisor.services.written_changes import refuse_other_changes, write_and_apply

BY_HAND = "edit its `trigger:`, then headrace plan"


@command("bottleneck apply", CHANGE, not_for_agents="it writes files of the project")
def remove_trigger(
    session: ProjectSession,
    *,
    node: Annotated[str, Argument("ASSET", "an asset that `headrace bottleneck` proposes")],
    window: Window = WINDOW,
    confirm: Callable[[PlanResponse], bool],
    progress: Progress,
) -> ApplyResponse:
    """Take the trigger of an asset out of its file, and apply that.

    The asset is computed as soon as its inputs are there, then. Only a trigger goes that
    `bottleneck` proposes now for the window. If the plan isn't confirmed, the file stays as it was.

    Raise UsageError for an invalid window, Refused for other triggers, for files with other
    changes, and for a trigger that can't be taken out alone; whatever `confirm` raises.
    """
    proposal = _proposal(session, node, window)
    base = usable(session.declared_exactly(progress)[1])
    refuse_other_changes(session, progress)
    contents = _contents(session, base, base.project.assets[node])
    waited = duration(round(proposal.median_s * 1e6))
    return write_and_apply(
        session,
        contents,
        confirm,
        progress,
        reason=f"bottleneck: {proposal.waits} waits for this trigger, {waited} as a median",
    )


def _proposal(session: ProjectSession, node: str, window: str) -> DelayProposalRow:
    for row in bottleneck(session, window=window):
        for proposal in row.proposals:
            if proposal.node == node:
                return proposal
        for proposal in row.dismissed:
            if proposal.node == node:
                refuse_dismissed(proposal.id, proposal.dismissal)
    raise Refused(
        f"the trigger of {node[:60]} isn't proposed to go, by the waits of the last {window}",
        hint="headrace bottleneck lists waits for triggers, with a command for each that can go",
    )


def _contents(session: ProjectSession, base: Compiled, asset: Asset) -> dict[str, bytes]:
    """Return the asset's file without its trigger. Raise Refused if more would change by that."""
    file = asset.place.file
    try:
        text = without_field(text_of(session.root / file), file, asset.name, "trigger")
        contents = {file: text.encode()}
        after = compiled_with(session, contents).compiled
    except HeadraceError as error:
        raise Refused(f"the trigger of {asset.name} stays: {error}", hint=BY_HAND) from error
    changed = after.project.assets.get(asset.name)
    same_code = {name: node.fingerprint for name, node in base.nodes.items()} == {
        name: node.fingerprint for name, node in after.nodes.items()
    }
    if changed is None or changed.trigger is not None or not same_code:
        raise Refused(
            f"the trigger of {asset.name} can't be taken out of {file} alone", hint=BY_HAND
        )
    return contents
