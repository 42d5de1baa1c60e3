"""Puts the schedule of a pipeline into the fields of its assets."""

from __future__ import annotations

from typing import Any

from headrace_import.importers.adf.drafts import Draft
from headrace_import.importers.adf.schedules import Schedule

_FIRST = ("description", "materialize", "partition", "start")


def add_schedule(draft: Draft, schedule: Schedule, *, is_first: bool) -> None:
    """Add partition and trigger to an asset; `is_first` if no other asset comes before it."""
    if draft.kind == "source":
        return
    is_command = draft.kind == "command"
    added = _partition(schedule) if is_command else {}
    trigger = _first_trigger(draft, schedule) if is_first else _next_trigger(draft, schedule)
    if trigger is not None:
        added["trigger"] = trigger
    if schedule.stopped and is_first and is_command:
        draft.comments.append(_stopped(schedule))
    fields = {**draft.fields, **added}
    order = [*_FIRST, *(key for key in fields if key not in (*_FIRST, "command")), "command"]
    draft.fields = {key: fields[key] for key in order if key in fields}


def _partition(schedule: Schedule) -> dict[str, Any]:
    if not schedule.partition:
        return {}
    # Without `start:`, what follows an unpartitioned asset would have no first partition.
    added: dict[str, Any] = {"partition": schedule.partition, "start": schedule.start}
    if schedule.is_window and schedule.concurrency > 0:
        added["concurrency"] = schedule.concurrency
    return added


def _stopped(schedule: Schedule) -> str:
    when = f" ({schedule.cron})" if schedule.cron else ""
    return f"The trigger {schedule.trigger}{when} is stopped in the factory."


def _next_trigger(draft: Draft, schedule: Schedule) -> Any:
    follows = draft.kind == "command" and not schedule.partition and draft.fields.get("depends")
    return {"upstream": draft.fields["depends"][-1]} if follows else None


def _first_trigger(draft: Draft, schedule: Schedule) -> Any:
    by_hand = "manual" if draft.kind == "command" else None
    if schedule.stopped:
        return by_hand
    if schedule.arrival:
        return "webhook" if schedule.arrival == "webhook" else by_hand
    if schedule.cron:
        return _cron_trigger(draft, schedule)
    if schedule.interval:
        return by_hand and {"interval": schedule.interval}
    return None if schedule.partition else by_hand


def _cron_trigger(draft: Draft, schedule: Schedule) -> dict[str, Any]:
    trigger: dict[str, Any] = {"cron": schedule.cron}
    if schedule.timezone:
        trigger["timezone"] = schedule.timezone
    if "partition" in draft.fields or (draft.kind == "command" and schedule.partition):
        trigger["catch_up"] = schedule.catch_up
    return trigger


def schedule_todo(schedule: Schedule) -> str:
    """Return what of a pipeline's trigger is left to a person."""
    if schedule.stopped:
        extra = f", and {schedule.todo}" if schedule.todo else ""
        named = f"the trigger `{schedule.trigger}` is stopped"
        return f"{named}: write `trigger:` when it shall run{extra}"
    if not schedule.todo:
        return ""
    return f"trigger `{schedule.trigger}`: {schedule.todo}" if schedule.trigger else schedule.todo
