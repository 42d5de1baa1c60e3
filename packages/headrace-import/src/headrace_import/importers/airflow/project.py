"""One Airflow project as an imported project: items, dependencies, suggestions and files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from headrace_import.importers.airflow.left_outside import leave_together
from headrace_import.importers.airflow.new_project import NewProject
from headrace_import.importers.airflow.origin import Origin, UnreadableFile
from headrace_import.importers.airflow.outcomes import Plan, Plans
from headrace_import.importers.airflow.plans import plan_tasks
from headrace_import.importers.airflow.reading import Reading, read_files
from headrace_import.importers.airflow.rewrites import merged_writers
from headrace_import.importers.airflow.secrets_found import Secrets
from headrace_import.importers.airflow.suggestions import suggestions
from headrace_import.importers.airflow.validity import invalid_files
from headrace_import.importers.imported import (
    ORIGINAL_CHARACTERS_MAX,
    Dependency,
    DependencyKind,
    ImportedItem,
    ImportedProject,
    Suggestion,
    Verdict,
)

ATTEMPTS_AT_VALIDITY_MAX = 4
LISTED_MAX = 3


def read_project(root: Path) -> ImportedProject:
    """Read the DAG files below a folder (or one file) without running anything of them.

    Raises FileNotFoundError if there is no such folder.
    """
    if not root.exists():
        raise FileNotFoundError(root)
    origin = Origin(root)
    reading = read_files(origin)
    plans = plan_tasks(reading, origin)
    secrets = Secrets(origin)
    project = _valid_project(plans, origin, secrets)
    _name_missing(project)
    items = [_item(plan, origin, secrets) for plan in plans]
    items += _file_items(reading, secrets)
    return ImportedProject(
        tool="airflow",
        items=tuple(items),
        dependencies=_dependencies(plans),
        suggestions=_suggestions(plans, origin, secrets, project.files),
        secrets=tuple(secrets.found),
        files=dict(sorted(project.files.items())),
    )


def _suggestions(
    plans: Plans, origin: Origin, secrets: Secrets, files: Mapping[str, str]
) -> tuple[Suggestion, ...]:
    changes = [
        *merged_writers(plans, files, lambda: _written(plans, origin).files),
    ]
    safe = [
        replace(row, evidence=secrets.redacted(row.evidence))
        for row in changes
        if not any(text and secrets.redacted(text) != text for text in row.changes.values())
    ]
    return (*safe, *suggestions(plans, secrets.redacted))


def _valid_project(plans: Plans, origin: Origin, secrets: Secrets) -> NewProject:
    """Write the project; tasks whose files aren't valid are left to a person."""
    notes = {plan.id: list(plan.todo) for plan in plans}
    for _ in range(ATTEMPTS_AT_VALIDITY_MAX):
        project = _written(plans, origin)
        refused = _with_secrets(project, secrets) | invalid_files(project.files)
        by_file = {path: plan for plan in plans for path in plan.created[:1]}
        broken = {path: refused[path] for path in refused.keys() & by_file.keys()}
        if not broken:
            return project
        for path in sorted(broken):
            project.drop(by_file[path], broken[path])
        _forget_notes(plans, notes)
    return _without_assets(plans, origin)


def _forget_notes(plans: Plans, notes: Mapping[str, list[str]]) -> None:
    """Writing adds notes; the next time adds them again."""
    for plan in plans:
        if plan.verdict is not Verdict.PERSON:
            plan.todo = list(notes[plan.id])


def _written(plans: Plans, origin: Origin) -> NewProject:
    leave_together(plans, origin)
    project = NewProject(plans, origin)
    for plan in plans:
        plan.name, plan.created, plan.table = "", (), None
    project.name_all()
    project.write_all()
    return project


def _without_assets(plans: Plans, origin: Origin) -> NewProject:
    """Nothing that was written is valid: every task is a person's."""
    for plan in plans:
        if plan.created:
            plan.refuse("the project with its asset isn't valid", "write the asset by hand")
    return _written(plans, origin)


def _with_secrets(project: NewProject, secrets: Secrets) -> dict[str, str]:
    return {
        path: "its text contains a secret"
        for path, text in project.files.items()
        if secrets.redacted(text) != text
    }


def _name_missing(project: NewProject) -> None:
    """Say which tasks before an asset are a person's, since nothing waits for them yet."""
    for plan in project.plans:
        if plan.verdict is Verdict.PERSON or plan.is_order:
            continue
        before = _before(plan, project.plans)
        missing = [other.id for other in before if other.verdict is Verdict.PERSON]
        more = f" and {len(missing) - LISTED_MAX} more" if len(missing) > LISTED_MAX else ""
        if missing:
            plan.todo.append(
                f"it came after {', '.join(missing[:LISTED_MAX])}{more}: add `depends:` once a"
                " person has carried that"
            )


def _before(plan: Plan, plans: Plans) -> Iterator[Plan]:
    """Yield what comes before a task, through tasks that only order."""
    seen = {plan.id}
    waiting = list(plans.all_before(plan))
    while waiting:
        other = waiting.pop(0)
        if other.id not in seen:
            seen.add(other.id)
            yield other
            waiting += plans.all_before(other) if other.is_order else []


def _item(plan: Plan, origin: Origin, secrets: Secrets) -> ImportedItem:
    return ImportedItem(
        id=plan.id,
        file=plan.task.file,
        line=plan.task.line,
        verdict=plan.verdict,
        created=plan.created,
        why=secrets.redacted(plan.why),
        todo=secrets.redacted("; ".join(part for part in plan.todo if part)),
        original=_original(plan, origin, secrets),
        group=plan.dag_id,
        table=plan.table if plan.verdict is Verdict.CARRIED else None,
    )


def _original(plan: Plan, origin: Origin, secrets: Secrets) -> str:
    task = plan.task
    try:
        text = origin.module(task.file).segment(task.line, task.end_line)
    except UnreadableFile:
        return ""
    if task.function is not None and task.function.scope.file == task.file:
        node = task.function.node
        last = node.end_lineno or node.lineno
        text = f"{origin.module(task.file).segment(node.lineno, last)}\n{text}"
    return secrets.redacted(text)[:ORIGINAL_CHARACTERS_MAX]


def _file_items(reading: Reading, secrets: Secrets) -> list[ImportedItem]:
    reasons: dict[tuple[str, int], list[str]] = {}
    for problem in reading.problems:
        reasons.setdefault((problem.file, problem.line), []).append(problem.reason)
    return [
        ImportedItem(
            id=f"{file}:{line}" if line else file,
            file=file,
            line=line or 1,
            verdict=Verdict.PERSON,
            created=(),
            why=secrets.redacted("; ".join(dict.fromkeys(file_reasons))),
            todo="write its tasks by hand"
            if line
            else "correct the file, or import its tasks by hand",
            original="",
        )
        for (file, line), file_reasons in reasons.items()
    ]


def _dependencies(plans: Plans) -> tuple[Dependency, ...]:
    found: dict[tuple[str, str], DependencyKind] = {}
    for plan in plans:
        for other in plan.waits_for:
            found[(other.id, plan.id)] = DependencyKind.SENSOR
    for giver, taker in [*plans.pulls, *plans.orders_by_value]:
        found.setdefault((giver.id, taker.id), DependencyKind.XCOM)
    for origin, target, how in plans.others:
        found.setdefault((origin.id, target.id), how)
    for plan in plans:
        for other in plans.before(plan):
            found.setdefault((other.id, plan.id), DependencyKind.EDGE)
    return tuple(
        Dependency(origin, target, how)
        for (origin, target), how in found.items()
        if origin != target
    )
