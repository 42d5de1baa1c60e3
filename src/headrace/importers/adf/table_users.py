"""Which activities may read a table where it is now, and so need it to stay there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from headrace.importers.adf.activities import DEACTIVATED, NEVER, Activity
from headrace.importers.adf.drafts import Draft, Outcome, TableKey
from headrace.importers.adf.graph import Graph
from headrace.importers.adf.origin import Resource
from headrace.importers.adf.reading import list_of, object_of, objects_of, text_at
from headrace.importers.adf.stores import Stores
from headrace.importers.imported import Verdict


class TableUsers:
    """The activities by the linked services from which they may read tables."""

    def __init__(self, outcomes: Mapping[str, Outcome], stores: Stores, graph: Graph) -> None:
        self._graph, self._stores = graph, stores
        self._by_store: dict[str, list[tuple[Outcome, str]]] = {}
        for outcome in outcomes.values():
            if not outcome.activity.obstacle.startswith((NEVER, DEACTIVATED)):
                text = self._text(outcome.activity)
                for store in {store.name.lower() for store in self._read(outcome.activity)}:
                    self._by_store.setdefault(store, []).append((outcome, text))

    def user(self, key: TableKey, writer: Activity) -> Outcome | None:
        """Return an activity that goes on reading a database and may read a table there.

        It comes after the table's writer, or belongs to another pipeline and names the table.
        """
        after = self._graph.comes_after(writer)
        named = re.compile(rf"(?<!\w){re.escape(key.table)}(?!\w)")
        for other, text in self._by_store.get(key.store, []):
            if other.activity is writer or not _reads_there(other):
                continue
            is_elsewhere = other.activity.pipeline is not writer.pipeline
            if other.activity.id in after or (is_elsewhere and named.search(text)):
                return other
        return None

    def _read(self, activity: Activity) -> Iterator[Resource]:
        factory = activity.pipeline.resource.factory
        references = [activity.raw.get("linkedServiceName")]
        references += self.services(self._inputs(activity), factory)
        for reference in references:
            store = self._stores.linked_service(reference, factory)
            if store is not None:
                yield store

    def _inputs(self, activity: Activity) -> list[object]:
        datasets = [*list_of(activity.raw, "inputs"), activity.settings.get("dataset")]
        return datasets + self._of_data_flow(activity)

    def _text(self, activity: Activity) -> str:
        """Return all that an activity says about what it reads, in lower case."""
        factory = activity.pipeline.resource.factory
        datasets = self._datasets(self._inputs(activity), factory)
        texts = [activity.raw.original, *(dataset.raw.original for dataset in datasets)]
        return "\n".join(texts).lower()

    def services(self, datasets: Iterable[object], factory: str) -> list[object]:
        """Return the references to linked services of references to datasets."""
        return [d.raw.get("linkedServiceName") for d in self._datasets(datasets, factory)]

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
