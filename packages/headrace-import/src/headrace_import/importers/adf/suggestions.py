"""What could be untangled once the faithful import works."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from headrace_import.importers.adf.activities import Activity, Pipeline
from headrace_import.importers.adf.drafts import Outcome
from headrace_import.importers.adf.pipelines import Pipelines
from headrace_import.importers.imported import Suggestion, Verdict

_UPDATING = frozenset(("sqlserverstoredprocedure", "sqlpoolstoredprocedure", "script"))


def suggest(pipelines: Pipelines, outcomes: Mapping[str, Outcome]) -> Iterator[Suggestion]:
    """Yield suggestions, each with its evidence."""
    yield from _duplicates(pipelines)
    yield from _chains_of_calls(pipelines)
    for pipeline in pipelines.all:
        yield from _watermarks(pipeline)
        yield from _waits(pipeline)
        schedule = pipelines.schedule(pipeline)
        carried = [
            activity.id for activity in pipeline.activities if _is_data(outcomes[activity.id])
        ]
        if schedule.cron and not schedule.stopped and carried and not schedule.is_window:
            yield Suggestion(
                "schedule_to_deadline",
                tuple(carried),
                f"`{schedule.trigger}` starts them at `{schedule.cron}`, but they need only their "
                "inputs: without `trigger:` an asset starts as soon as these are complete, and a "
                "consumer with `due:` says by when it is needed",
            )


def _is_data(outcome: Outcome) -> bool:
    return outcome.verdict is Verdict.CARRIED and any(
        draft.kind == "sql" for draft in outcome.drafts
    )


def _duplicates(pipelines: Pipelines) -> Iterator[Suggestion]:
    alike: dict[str, list[Pipeline]] = {}
    for pipeline in pipelines.all:
        written = json.dumps(pipeline.resource.raw.get("activities"), default=str)
        alike.setdefault(written, []).append(pipeline)
    for duplicates in alike.values():
        ids = tuple(activity.id for pipeline in duplicates for activity in pipeline.activities)
        if len(duplicates) > 1 and ids:
            names = ", ".join(f"`{pipeline.id}`" for pipeline in duplicates)
            yield Suggestion("duplicate", ids, f"the pipelines {names} have the same activities")


def _chains_of_calls(pipelines: Pipelines) -> Iterator[Suggestion]:
    """Pipelines that only call pipelines that only call pipelines."""
    for pipeline in pipelines.all:
        calls = [activity for activity in pipeline.activities if activity.id in pipelines.calls]
        if not calls or len(calls) != len(pipeline.activities):
            continue
        ids = tuple(activity.id for activity in calls)
        names = ", ".join(f"`{pipelines.calls[activity_id].id}`" for activity_id in ids)
        yield Suggestion(
            "pass_through",
            ids,
            f"`{pipeline.id}` only calls {names}: dependencies between their assets replace it",
        )


def _watermarks(pipeline: Pipeline) -> Iterator[Suggestion]:
    """A Lookup of the last value, a Copy above it, and an update of the last value."""
    copies = [activity for activity in pipeline.activities if activity.type.lower() == "copy"]
    for copy in copies:
        lookups = [activity for activity in pipeline.activities if _gives(activity, copy)]
        updates = [activity for activity in pipeline.activities if _comes_after(activity, copy)]
        if lookups and updates:
            yield _watermark(copy, lookups, updates)


def _watermark(copy: Activity, lookups: list[Activity], updates: list[Activity]) -> Suggestion:
    names = ", ".join(f"`{lookup.name}`" for lookup in lookups)
    evidence = (
        f"{names} gives `{copy.name}` the rows since the last run, which `{updates[0].name}` "
        "writes down: partitions, or `cursor:` of a source, know what is there"
    )
    return Suggestion("watermark", tuple(o.id for o in [*lookups, copy, *updates]), evidence)


def _gives(activity: Activity, other: Activity) -> bool:
    return activity.type.lower() == "lookup" and activity.name.lower() in other.uses


def _comes_after(activity: Activity, other: Activity) -> bool:
    named = {upstream.name.lower() for upstream in activity.upstream}
    return activity.type.lower() in _UPDATING and other.name.lower() in named


def _waits(pipeline: Pipeline) -> Iterator[Suggestion]:
    waits = [
        activity for activity in pipeline.activities if activity.type.lower() in ("wait", "until")
    ]
    if waits:
        yield Suggestion(
            "waiting",
            tuple(activity.id for activity in waits),
            "they wait for time to pass: an asset runs as soon as its inputs are complete",
        )
