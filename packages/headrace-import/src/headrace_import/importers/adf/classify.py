"""Decides what becomes of each activity: carried, a command, or a person's decision."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from headrace_import.importers.adf import commands
from headrace_import.importers.adf.activities import (
    DEACTIVATED,
    NEVER,
    Activity,
    decision,
    foreach_items,
)
from headrace_import.importers.adf.copying import (
    Context,
    carried_validation,
)
from headrace_import.importers.adf.dataflows import carried_dataflow
from headrace_import.importers.adf.drafts import Draft, Outcome
from headrace_import.importers.adf.evaluate import resolve
from headrace_import.importers.adf.reading import text_at
from headrace_import.importers.adf.refusals import NeedsDecisionError, NotCarriedError
from headrace_import.importers.adf.sql_assets import carried_sql, carried_transfer
from headrace_import.importers.adf.values import OF_TRIGGER, Scope, Unknown, unknown_in
from headrace_import.importers.imported import Verdict

CONTAINERS = frozenset(("foreach", "ifcondition", "switch", "until"))
_COMMANDS = re.compile(
    r"(sqlserver|sqlpool)storedprocedure|databricks\w+|synapsenotebook|sparkjob|tridentnotebook|"
    r"hdinsight\w+|custom|azurefunctionactivity|web(activity)?|delete|copy|script|lookup|"
    r"executedataflow|executewranglingdataflow|executessispackage|datalakeanalyticsu-sql|"
    r"azureml\w+|azuredataexplorercommand|sparkjobdefinition|office365outlook|teams|getmetadata|"
    r"pbisemanticmodelrefresh|refreshdataflow|invokepipeline|azuresynapseartifacts\w*"
)
_VALUES_ONLY = frozenset(("getmetadata", "lookup"))
_PEOPLE = {
    "webhook": (
        "it waits until another system calls it back",
        "let that system call an asset's webhook (`trigger: webhook`), or poll it in a command",
    ),
    "setvariable": (
        "it keeps a value for other activities of the run",
        "write the value into `parameters:`, or compute it in the query that uses it",
    ),
    "appendvariable": (
        "it collects values for other activities of the run",
        "write the list into a table that an asset computes",
    ),
    "filter": (
        "it selects items for other activities of the run",
        "select them in the query of the asset that uses them",
    ),
    "fail": (
        "it ends the run with an error",
        "write the condition as a blocking check of the asset that it guards",
    ),
}


_CARRYING: Mapping[str, Callable[[Activity, Scope, Context], tuple[list[Draft], str]]] = {
    "copy": carried_transfer,
    "validation": carried_validation,
    "script": carried_sql,
    "lookup": carried_sql,
    "executedataflow": carried_dataflow,
}


def classify(activity: Activity, context: Context, used: Iterable[str]) -> Outcome:
    """Return what becomes of an activity; containers and calls of pipelines come later.

    `used` are the names of activities of its pipeline that use its output.
    """
    kind, consumers = activity.type.lower(), sorted(used)
    if activity.obstacle:
        return _obstructed(activity)
    conditions = {condition for upstream in activity.upstream for condition in upstream.conditions}
    if conditions - {"succeeded"}:
        return _on_failure(activity, conditions)
    if kind in CONTAINERS or kind == "executepipeline":
        return Outcome(activity, Verdict.PERSON, "", "")
    if kind in _PEOPLE:
        why, todo = _PEOPLE[kind]
        return Outcome(activity, Verdict.PERSON, why, todo)
    if kind == "wait":
        return _wait(activity, context)
    reason = ""
    try:
        return _carried(activity, context, consumers)
    except NeedsDecisionError as error:
        return Outcome(activity, Verdict.PERSON, str(error), error.todo)
    except NotCarriedError as error:
        reason = str(error)
    return _as_command(activity, context, consumers, reason)


def _obstructed(activity: Activity) -> Outcome:
    if activity.obstacle == DEACTIVATED:
        todo = "delete it, or activate it in the factory and import again"
    elif activity.obstacle.startswith(NEVER):
        todo = "leave it out, or check what decides that it doesn't run"
    else:
        holder = activity.container.name if activity.container else activity.name
        todo = (
            f"decide when it runs: move the condition or the list of `{holder}` into the data that "
            "an asset reads, or let the factory go on running the pipeline"
        )
    return Outcome(activity, Verdict.PERSON, activity.obstacle, todo)


_ENDS = {"completed": "has ended", "failed": "has failed", "skipped": "was skipped"}
"""The factory's conditions on how an activity ends, in words."""


def _on_failure(activity: Activity, conditions: set[str]) -> Outcome:
    after = ", ".join(f"`{upstream.name}`" for upstream in activity.upstream)
    states = " or ".join(_ENDS.get(each, each) for each in sorted(conditions - {"succeeded"}))
    todo = "an incident tells its owner of failures: notify them there, or drop the activity"
    if "completed" in conditions:
        todo = "it also runs after a failure: decide whether it may wait for success (`depends:`)"
    return Outcome(activity, Verdict.PERSON, f"it runs when {after} {states}", todo)


def _wait(activity: Activity, context: Context) -> Outcome:
    seconds = resolve(activity.settings.get("waitTimeInSeconds"), activity.scopes[0])
    if isinstance(seconds, str) and seconds.isdigit():
        seconds = int(seconds)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds < 0:
        return Outcome(
            activity, Verdict.PERSON, "only a run knows how long it waits",
            "drop it, if what follows waits for data; else write a command with the seconds",
        )  # fmt: skip
    draft = commands.wait_draft(activity, seconds, context.names, context.folder)
    todo = "drop it, if what follows only waits for data: an asset runs when its inputs are there"
    why = f"the command of its asset waits {seconds} s, too"
    return Outcome(activity, Verdict.CARRIED, why, todo, [draft])


def _carried(activity: Activity, context: Context, consumers: list[str]) -> Outcome:
    kind = activity.type.lower()
    drafts: list[Draft] = []
    todo = ""
    if kind not in _CARRYING or (consumers and kind == "lookup"):
        raise NotCarriedError("")
    for scope in activity.scopes:
        scope_drafts, todo = _CARRYING[kind](activity, scope, context)
        drafts += scope_drafts
    return Outcome(activity, Verdict.CARRIED, _why_carried(kind, drafts), todo, drafts)


def _why_carried(kind: str, drafts: list[Draft]) -> str:
    if kind == "copy" and all(draft.kind == "sql" for draft in drafts):
        return "the query that it reads is an asset in SQL"
    if kind == "copy":
        many = f" ({len(drafts)} files)" if len(drafts) > 1 else ""
        return f"the table is a source that Headrace ingests itself{many}"
    if kind == "validation":
        return "the source is complete once its file is there"
    if kind == "executedataflow":
        return "its transformations are the query of an asset"
    return "its query is an asset in SQL"


def _as_command(activity: Activity, context: Context, consumers: list[str], reason: str) -> Outcome:
    person = _not_a_command(activity, consumers, reason)
    if person is not None:
        return person
    draft = commands.command_draft(activity, context.names, context.folder, context.schedule)
    todo = commands.command_todo(activity, context.schedule)
    why = f"it runs unchanged in the factory{f': {reason}' if reason else ''}"
    return Outcome(activity, Verdict.COMMAND, why, todo, [draft])


def _not_a_command(activity: Activity, consumers: list[str], reason: str) -> Outcome | None:
    kind = activity.type.lower()
    if not _COMMANDS.fullmatch(kind):
        why = reason or f"activities of the type `{activity.type}` aren't known"
        return Outcome(activity, Verdict.PERSON, why, "write an asset that does the same")
    blocked = _blocked(activity)
    if blocked is not None:
        return _of_run_time(activity, blocked)
    if consumers and (kind in _VALUES_ONLY or _is_get(activity, kind)):
        names = ", ".join(f"`{name}`" for name in consumers)
        why = f"the value that it reads is used by {names}" + (f", and {reason}" if reason else "")
        return Outcome(activity, Verdict.PERSON, why, f"read the value where {names} needs it")
    if any(scope.item is not None for scope in activity.scopes):
        why = "it runs once for each item, which the factory passes"
        return Outcome(activity, Verdict.PERSON, why, "write a command for each item")
    return None


def _is_get(activity: Activity, kind: str) -> bool:
    return kind in ("webactivity", "web") and text_at(activity.settings, "method").upper() == "GET"


def _blocked(activity: Activity) -> Unknown | None:
    """Return a value that the activity lacks when it runs alone: of others, or of its trigger."""
    definition = {key: value for key, value in activity.raw.items() if key != "dependsOn"}
    assigned = activity.pipeline.assigned
    for scope in activity.scopes:
        variables = {k: v for k, v in scope.variables.items() if k.lower() not in assigned}
        unknown = unknown_in(resolve(definition, replace(scope, variables=variables)))
        if unknown is not None and (unknown.activities or unknown.variables or _is_event(unknown)):
            return unknown
    return None


def _is_event(unknown: Unknown) -> bool:
    return unknown.reason.endswith(OF_TRIGGER)


def _of_run_time(activity: Activity, blocked: Unknown) -> Outcome:
    names = ", ".join(f"`{name}`" for name in sorted(blocked.activities))
    variables = ", ".join(f"`{name}`" for name in sorted(blocked.variables))
    if names:
        why = f"it uses a value that {names} has at run time"
        todo = f"read what {names} gives from a table in the asset's query or command"
    elif variables:
        why = f"it uses what a run sets: {variables}"
        todo = f"write the value of {variables} into `parameters:`, or compute it in the asset"
    else:
        why = f"it uses what its event says: {blocked.reason}"
        todo = "declare the files as a source: say which part of their names is a date"
    return Outcome(activity, Verdict.PERSON, why, todo)


def settle_container(outcome: Outcome, inner: list[Outcome]) -> None:
    """Decide a container's verdict, once its activities are decided."""
    activity = outcome.activity
    if outcome.why:
        return
    kind = activity.type.lower()
    if kind == "until":
        outcome.becomes(
            Verdict.PERSON, "it repeats activities until a condition holds that only a run knows",
            "wait for the data itself (a source), or poll within one command that exits with 75",
        )  # fmt: skip
        return
    decided = foreach_items(activity) if kind == "foreach" else decision(activity)
    if isinstance(decided, Unknown):
        what = "its items" if kind == "foreach" else "its condition"
        outcome.becomes(
            Verdict.PERSON, f"only a run knows {what}: {decided.reason}",
            "write the list as keys (`partition: {key: …}`), or read it from a table"
            if kind == "foreach"
            else "move the condition into the query or a check of the asset that it guards",
        )  # fmt: skip
        return
    settle_by_inner(outcome, inner, "its activities")


def settle_by_inner(outcome: Outcome, inner: list[Outcome], what: str) -> None:
    """Give a container the weakest verdict of what it holds and runs."""
    inner = _run(inner)
    open_ = [f"`{o.activity.id}`" for o in inner if o.verdict is Verdict.PERSON]
    created = tuple(
        dict.fromkeys(path for inner_outcome in inner for path in inner_outcome.created)
    )
    if not created:
        outcome.becomes(Verdict.PERSON, f"nothing of {what} is carried", "decide those first")
    elif open_:
        outcome.becomes(Verdict.PERSON, *_undecided(open_, what))
    else:
        all_carried = all(inner_outcome.verdict is Verdict.CARRIED for inner_outcome in inner)
        verdict = Verdict.CARRIED if all_carried else Verdict.COMMAND
        outcome.becomes(verdict, f"the order of {what} is kept by their dependencies", "")
        outcome.created = created


def _is_left_out(activity: Activity) -> bool:
    """Whether the factory doesn't run an activity either, so that nothing depends on it."""
    return activity.obstacle == DEACTIVATED or activity.obstacle.startswith(NEVER)


def _undecided(names: list[str], what: str) -> tuple[str, str]:
    """Return why a container isn't decided while some of what it holds isn't, and what to do."""
    need = "needs" if len(names) == 1 else "need"
    return f"{len(names)} of {what} {need} a decision", f"decide {', '.join(names[:5])} first"


def _run(outcomes: list[Outcome]) -> list[Outcome]:
    """Return the outcomes of activities that the factory doesn't leave out."""
    return [outcome for outcome in outcomes if not _is_left_out(outcome.activity)]
