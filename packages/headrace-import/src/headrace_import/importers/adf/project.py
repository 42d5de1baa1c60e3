"""Reads a factory and makes the new project of it."""

from __future__ import annotations

from pathlib import Path

from headrace_import.importers.adf import suggestions
from headrace_import.importers.adf.activities import Activity, Pipeline
from headrace_import.importers.adf.classify import (
    CONTAINERS,
    classify,
    settle_by_inner,
    settle_container,
)
from headrace_import.importers.adf.commands import PROGRAM, PROGRAM_TEXT
from headrace_import.importers.adf.copying import Context
from headrace_import.importers.adf.drafts import OWNER, Draft, Names, Outcome, clean, toml_value
from headrace_import.importers.adf.graph import Graph
from headrace_import.importers.adf.origin import Broken, Origin, read_origin
from headrace_import.importers.adf.pipelines import Pipelines, read_pipelines
from headrace_import.importers.adf.secrets import Secrets
from headrace_import.importers.adf.stores import Stores
from headrace_import.importers.adf.tables import Tables
from headrace_import.importers.adf.triggers import add_schedule, schedule_todo
from headrace_import.importers.imported import (
    ORIGINAL_CHARACTERS_MAX,
    UNRESTRICTED,
    Dependency,
    ImportedItem,
    ImportedProject,
    Verdict,
)
from headrace_import.importers.origin_files import working_on


def read_project(root: Path) -> ImportedProject:
    """Return what becomes of a factory's files; nothing is run, and nothing is written."""
    origin = read_origin(root)
    secrets = Secrets()
    for resource in origin.resources:
        secrets.scan(resource.file, resource.name, resource.raw)
    for file, template in origin.templates:
        secrets.scan(file, "parameters", template.get("parameters"))
    pipelines = read_pipelines(origin)
    work = _Import(origin, pipelines)
    work.decide()
    items = [_item(outcome, secrets) for outcome in work.outcomes.values()]
    items += [_broken(broken, secrets) for broken in origin.broken]
    files = {path: secrets.removed_from(text) for path, text in work.files(root).items()}
    return ImportedProject(
        "adf",
        tuple(items),
        tuple(work.dependencies()),
        tuple(suggestions.suggest(pipelines, work.outcomes)),
        tuple(secrets.found),
        files,
    )


class _Import:
    """The decisions of one import, in their order."""

    def __init__(self, origin: Origin, pipelines: Pipelines) -> None:
        self.pipelines = pipelines
        self.stores = Stores(origin)
        self.names = Names()
        self.outcomes: dict[str, Outcome] = {}
        self.tables = Tables(self.names, self.stores)
        self.graph = Graph(
            self.outcomes, pipelines.callers, pipelines.calls, pipelines.windows_before
        )
        self._contexts: dict[str, Context] = {}

    def decide(self) -> None:
        """Decide every activity, then what depends on several."""
        for pipeline in self.pipelines.all:
            for activity in pipeline.activities:
                with working_on(pipeline.resource.file):
                    context = self._context(pipeline)
                    self.outcomes[activity.id] = classify(activity, context, _users(activity))
        self.tables.settle(self.outcomes, self.graph, self._context)
        self._order()
        self._settle_containers()
        self._schedule()

    def _context(self, pipeline: Pipeline) -> Context:
        if pipeline.id not in self._contexts:
            self._contexts[pipeline.id] = Context(
                self.stores, self.names, self.pipelines.schedule(pipeline),
                pipeline.resource.factory, clean(pipeline.id, "pipeline"),
            )  # fmt: skip
        return self._contexts[pipeline.id]

    def _order(self) -> None:
        """Name what comes before each asset, without closing a circle."""
        drafts = [(o, d) for o in self.outcomes.values() for d in o.drafts if d.kind != "source"]
        edges: dict[str, set[str]] = {draft.name: set(draft.inputs) for _, draft in drafts}
        for outcome, draft in drafts:
            skipped = {sibling.name for sibling in outcome.drafts} | set(draft.inputs)
            wanted = set(self.graph.nodes_before(outcome.activity)) - skipped
            depends = sorted(name for name in wanted if not _reaches(edges, name, draft.name))
            edges[draft.name].update(depends)
            if depends:
                draft.fields["depends"] = depends

    def _settle_containers(self) -> None:
        for outcome in self.outcomes.values():
            if outcome.drafts:
                paths = tuple(draft.path for draft in outcome.drafts)
                outcome.created = paths + _program(outcome.drafts)
        for pipeline in self.pipelines.callees_first():
            for activity in reversed(pipeline.activities):
                self._settle(activity)

    def _settle(self, activity: Activity) -> None:
        outcome, kind = self.outcomes[activity.id], activity.type.lower()
        if kind in CONTAINERS:
            settle_container(outcome, [self.outcomes[child.id] for child in activity.children])
        elif kind == "executepipeline" and not outcome.why:
            called = self.pipelines.calls.get(activity.id)
            if called is None:
                why = self.pipelines.uncallable.get(
                    activity.id, "the pipeline isn't among the files"
                )
                outcome.becomes(
                    Verdict.PERSON, why, "import that pipeline too, or run it by a command"
                )
                return
            inner = [self.outcomes[inner_activity.id] for inner_activity in called.activities]
            settle_by_inner(outcome, inner, f"the activities of `{called.id}`")
            waits = activity.settings.get("waitOnCompletion")
            if waits is not True and outcome.verdict is not Verdict.PERSON:
                outcome.todo = (
                    f"the factory goes on without waiting for `{called.id}`, here what follows"
                    " waits for it: drop those `depends:` if it may fail"
                )

    def _schedule(self) -> None:
        for pipeline in self.pipelines.all:
            schedule = self.pipelines.schedule(pipeline)
            for activity in pipeline.activities:
                outcome = self.outcomes[activity.id]
                is_first = not self._nodes_before(activity)
                for draft in outcome.drafts:
                    add_schedule(draft, schedule, is_first=is_first)
                if is_first and outcome.drafts and (todo := schedule_todo(schedule)):
                    outcome.todo = f"{outcome.todo}; {todo}".lstrip("; ")

    def _nodes_before(self, activity: Activity) -> list[str]:
        sources = {d.name for o in self.outcomes.values() for d in o.drafts if d.kind == "source"}
        return [name for name in self.graph.nodes_before(activity) if name not in sources]

    def drafts(self) -> list[Draft]:
        """Return all nodes of the new project."""
        return [d for o in self.outcomes.values() for d in o.drafts] + self.tables.sources

    def files(self, root: Path) -> dict[str, str]:
        """Return the new project's files."""
        drafts = self.drafts()
        files = {draft.path: draft.text() for draft in drafts}
        runs = any(
            draft.kind == "command" and PROGRAM in draft.fields["command"] for draft in drafts
        )
        if runs:
            files[PROGRAM] = PROGRAM_TEXT
        files["headrace.toml"] = self._settings(root, drafts, runs=runs)
        files["owners.yaml"] = f"{OWNER}: {{kind: team}}\n"
        return dict(sorted(files.items()))

    def _settings(self, root: Path, drafts: list[Draft], *, runs: bool) -> str:
        lines = [
            "[project]",
            f"name = {toml_value(clean(root.resolve().name, 'factory'))}",
            'timezone = "UTC"',
        ]
        if runs:
            names = ["ADF_RESOURCE_GROUP", "ADF_FACTORY", "ADF_KIND", "AZURE_CONFIG_DIR"]
            lines += ["", "[run]", f"pass_environment = {toml_value(names)}", *UNRESTRICTED]
        used = {draft.connection for draft in drafts if draft.connection}
        for name in sorted(used):
            fields = self.stores.connections[name]
            lines += ["", f"[connections.{name}]"]
            lines += [f"{key} = {toml_value(value)}" for key, value in fields.items()]
        return "\n".join(lines) + "\n"

    def dependencies(self) -> list[Dependency]:
        """Return all dependencies between items, each once."""
        found: dict[Dependency, None] = {}
        for pipeline in self.pipelines.all:
            for activity in pipeline.activities:
                found.update(dict.fromkeys(self.graph.dependencies(activity)))
        found.update(dict.fromkeys(self.tables.dependencies(self.outcomes)))
        return list(found)


def _program(drafts: list[Draft]) -> tuple[str, ...]:
    return (PROGRAM,) if any(PROGRAM in draft.fields.get("command", ()) for draft in drafts) else ()


def _users(activity: Activity) -> list[str]:
    name = activity.name.lower()
    return [o.name for o in activity.pipeline.activities if name in o.uses and o is not activity]


def _reaches(edges: dict[str, set[str]], start: str, end: str) -> bool:
    seen, pending = set[str](), [start]
    while pending:
        name = pending.pop()
        if name == end:
            return True
        if name not in seen:
            seen.add(name)
            pending.extend(edges.get(name, ()))
    return False


def _item(outcome: Outcome, secrets: Secrets) -> ImportedItem:
    activity = outcome.activity
    original = secrets.removed_from(activity.raw.original)[:ORIGINAL_CHARACTERS_MAX]
    return ImportedItem(
        activity.id, activity.pipeline.resource.file, activity.raw.line, outcome.verdict,
        outcome.created, secrets.removed_from(outcome.why), secrets.removed_from(outcome.todo),
        original,
    )  # fmt: skip


def _broken(broken: Broken, secrets: Secrets) -> ImportedItem:
    return ImportedItem(
        broken.file, broken.file, broken.line, Verdict.PERSON, (), broken.reason,
        "repair the file, then import again",
        secrets.removed_from(broken.text)[:ORIGINAL_CHARACTERS_MAX],
    )  # fmt: skip
