"""Whether activities run: what comes after others runs only if those end as it demands."""

from __future__ import annotations

from headrace_import.importers.adf.activities import DEACTIVATED, NEVER, Activity, Pipeline
from headrace_import.importers.adf.reading import text_at


def mark_conditional(pipeline: Pipeline) -> None:
    """Set the obstacle of activities that run only after a failure, or never, through others."""
    changed = True
    while changed:
        changed = False
        for activity in pipeline.activities:
            reason = "" if activity.obstacle else _obstacle(activity)
            if reason:
                activity.obstacle, changed = reason, True


def is_conditional(activity: Activity) -> bool:
    """Whether an activity demands another end of one before it than success."""
    return any(upstream.conditions - {"succeeded"} for upstream in activity.upstream)


def call_obstacle(calls: list[Activity]) -> str:
    """Return why it can't be said that a pipeline runs once whenever its callers run.

    Empty if one of the calls always happens.
    """
    reasons = [_why_not_once(call) for call in calls]
    return reasons[0] if reasons and all(reasons) else ""


def _why_not_once(call: Activity) -> str:
    if call.obstacle.startswith(NEVER):
        return f"{NEVER}: `{call.id}` would call it, which never runs"
    if call.obstacle:
        return f"`{call.id}` calls it, and {call.obstacle}"
    if is_conditional(call):
        return f"`{call.id}` calls it, depending on how other activities end"
    if len(call.scopes) != 1:
        return f"`{call.id}` calls it once for each of {len(call.scopes)} items"
    return ""


def _obstacle(activity: Activity) -> str:
    container = activity.container
    if container is not None and (container.obstacle or is_conditional(container)):
        ends = f"`{container.name}` holds it, and runs depending on how other activities end"
        return container.obstacle or ends
    if is_conditional(activity):
        return ""
    return next(filter(None, map(_after, activity.directly_before())), "")


def _after(earlier: Activity) -> str:
    """Return why an activity that waits for another one's success may not run."""
    if earlier.obstacle == DEACTIVATED:
        marked = text_at(earlier.raw, "onInactiveMarkAs").lower() or "succeeded"
        what = f"{NEVER}: `{earlier.name}` before it is deactivated and counts as {marked}"
        return "" if marked == "succeeded" else what
    if earlier.type.lower() == "fail":
        return f"{NEVER}: `{earlier.name}` before it always fails"
    if earlier.obstacle.startswith(NEVER):
        return f"{NEVER}: `{earlier.name}` before it never runs"
    if is_conditional(earlier):
        return f"`{earlier.name}` before it runs depending on how other activities end"
    return earlier.obstacle
