"""Which activities may read a table where it is now, and so need it to stay there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from headrace_import.importers.adf.activities import DEACTIVATED, NEVER, Activity
from headrace_import.importers.adf.drafts import Draft, Outcome, TableKey
from headrace_import.importers.adf.graph import Graph
from headrace_import.importers.adf.origin import Resource
from headrace_import.importers.adf.reading import list_of, object_of, objects_of, text_at
from headrace_import.importers.adf.stores import Stores
from headrace_import.importers.imported import Verdict

_IN_THE_FILES = re.compile(r"copy|script|lookup|getmetadata|delete|validation|executedataflow")
"""Activities whose tables and files are in their text, or in that of their datasets."""
_READING = ("getmetadata", "lookup")
_EXECUTES = re.compile(r"(?i)\b(exec|execute|call)\b|storedProcedureName")
_CONTROL = re.compile(
    r"wait|fail|filter|setvariable|appendvariable|foreach|ifcondition|switch|until|executepipeline"
)
"""Activities that touch no table themselves."""


class TableUsers:
    """What stays in the factory, with all that its text and its datasets say."""

    def __init__(self, outcomes: Mapping[str, Outcome], stores: Stores, graph: Graph) -> None:
        self._graph, self._stores = graph, stores
        self._users = [
            (outcome, self._text(outcome.activity))
            for outcome in outcomes.values()
            if not outcome.activity.obstacle.startswith((NEVER, DEACTIVATED))
            and not _CONTROL.fullmatch(outcome.activity.type.lower())
        ]

    def user(self, key: TableKey, writer: Activity) -> Outcome | None:
        """Return an activity that may read or change a table where it is now.

        It comes after the table's writer, calls a procedure, or names the table.
        """
        named = _name(key.table)
        for other, text in self._users:
            if other.activity is writer or not _reads_there(other):
                continue
            is_outside = other.verdict is not Verdict.CARRIED
            after = is_outside and writer.id in self._graph.all_before(other.activity)
            if after or (is_outside and _calls(other)) or named.search(text):
                return other
        return None

    def filler(self, tables: list[str], reader: Activity) -> Outcome | None:
        """Return an activity outside that may fill what a source reads too early.

        Without tables, that is the files of the reader, or what an address gives.
        """
        if not tables:
            return self._filler_of_files(reader)
        named = [_name(table) for table in tables]
        before = self._graph.all_before(reader)
        for other, text in self._users:
            if other.verdict is Verdict.CARRIED or other.activity is reader:
                continue
            is_named = any(name.search(text) for name in named)
            if other.activity.id in before or _calls(other) or is_named:
                return other
        return None

    def programs(self) -> list[str]:
        """Return the names of activities outside that run code which the files don't have."""
        outside = (o.activity for o, _ in self._users if o.verdict is not Verdict.CARRIED)
        programs = (item for item in outside if not _IN_THE_FILES.fullmatch(item.type.lower()))
        return list(dict.fromkeys(program.name for program in programs))

    def _filler_of_files(self, reader: Activity) -> Outcome | None:
        """Return an activity outside that comes before the reader, or writes one of its files."""
        read = self._files(reader, "inputs")
        before = self._graph.all_before(reader)
        for other, _ in self._users:
            if other.verdict is Verdict.CARRIED or other.activity is reader:
                continue
            may_write = other.activity.type.lower() not in _READING or _calls(other)
            if may_write and other.activity.id in before:
                return other
            if read & self._files(other.activity, "outputs"):
                return other
        return None

    def _files(self, activity: Activity, key: str) -> set[str]:
        """Return the locations of files that an activity reads or writes, as they are written."""
        datasets = self._datasets(list_of(activity.raw, key), activity.pipeline.resource.factory)
        locations = (object_of(dataset.raw, "typeProperties", "location") for dataset in datasets)
        return {repr(sorted(location.items())) for location in locations if location}

    def is_after(self, writer: Activity, reader: Activity) -> bool:
        """Whether one activity comes after another."""
        return writer.id in self._graph.all_before(reader)

    def _datasets_of(self, activity: Activity) -> list[object]:
        datasets = [*list_of(activity.raw, "inputs"), activity.settings.get("dataset")]
        return datasets + list_of(activity.raw, "outputs") + self._of_data_flow(activity)

    def _text(self, activity: Activity) -> str:
        """Return all that an activity says about what it reads and writes, in lower case."""
        factory = activity.pipeline.resource.factory
        datasets = self._datasets(self._datasets_of(activity), factory)
        texts = [activity.raw.original, *(dataset.raw.original for dataset in datasets)]
        return "\n".join(texts).lower()

    def _datasets(self, references: Iterable[object], factory: str) -> list[Resource]:
        names = [text_at(reference, "referenceName") for reference in references]
        datasets = [self._stores.origin.find("dataset", name, factory) for name in names]
        return [dataset for dataset in datasets if dataset is not None]

    def _of_data_flow(self, activity: Activity) -> list[object]:
        settings = activity.settings
        reference = object_of(settings, "dataFlow") or object_of(settings, "dataflow")
        factory = activity.pipeline.resource.factory
        name = text_at(reference, "referenceName")
        flow = self._stores.origin.find("data flow", name, factory) if name else None
        sources = objects_of(flow.raw, "typeProperties", "sources") if flow is not None else []
        return [source.get("dataset") for source in sources]


def _name(table: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(table.lower())}(?!\w)")


def _calls(outcome: Outcome) -> bool:
    """Whether an activity runs a procedure, which may use any table."""
    activity = outcome.activity
    script = activity.type.lower() in ("script", "lookup")
    return "storedprocedure" in activity.type.lower() or (
        script and _EXECUTES.search(activity.raw.original) is not None
    )


def _reads_there(outcome: Outcome) -> bool:
    """Whether an activity goes on reading the database itself."""
    if outcome.verdict is not Verdict.CARRIED:
        return True
    return any(map(is_database_source, outcome.drafts))


def is_database_source(draft: Draft) -> bool:
    """Whether a draft is a source over the table of a database."""
    return draft.kind == "source" and bool(draft.connection) and "files" not in draft.fields


def why_needed(user: Outcome) -> str:
    """Return why a table stays in its database, as far as the files tell whether it is read."""
    name, kind = user.activity.name, user.activity.type.lower()
    if user.verdict is Verdict.CARRIED:
        return f"`{name}` reads the table from its database"
    stays = "runs in the factory" if user.verdict is Verdict.COMMAND else "is for a person"
    if "storedprocedure" in kind:
        return (
            f"the procedure of `{name}` may read the table in its database, which the files don't"
            f" tell; `{name}` {stays}"
        )
    return f"`{name}` may read the table in its database, and {stays}"
