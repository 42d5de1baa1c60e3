"""Who reads a file that an activity writes: such a file must go on being written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace_import.importers.adf.activities import Activity
from headrace_import.importers.adf.copying import Context
from headrace_import.importers.adf.origin import Resource
from headrace_import.importers.adf.reading import list_of, objects_of, objects_within, text_at
from headrace_import.importers.adf.stores import Place
from headrace_import.importers.adf.values import Scope


def user_of_file(activity: Activity, place: Place, context: Context) -> str:
    """Return an activity that comes after one, or else what may read the file that it writes."""
    for other in activity.pipeline.activities:
        if any(upstream.name == activity.name for upstream in other.upstream):
            return other.name
    if place.dataset is None:
        return ""
    datasets = _with_the_same_file(place, place.dataset, context)
    for pipeline in context.stores.origin.of_kind("pipeline"):
        for name in _readers(pipeline.raw, datasets):
            return name
    flows = context.stores.origin.of_kind("data flow")
    return next((flow.name for flow in flows if _is_read(flow, datasets)), "")


def _with_the_same_file(place: Place, dataset: Resource, context: Context) -> set[str]:
    """Return the names of the datasets that may lead to a file, in lower case."""
    names = {dataset.name.lower()}
    for other in context.stores.origin.of_kind("dataset"):
        reference = {"referenceName": other.name}
        where = context.stores.place(reference, Scope(), dataset.factory)
        if where.kind == "file" and where.store is place.store and _may_meet(where, place):
            names.add(other.name.lower())
    return names


def _may_meet(left: Place, right: Place) -> bool:
    """Whether one path is, or may be, the other one or a folder of it."""
    paths = [place.path for place in (left, right)]
    texts = [path.strip("/") for path in paths if isinstance(path, str) and path]
    if len(texts) < 2:
        return True
    short, long = sorted(texts, key=len)
    return long == short or long.startswith(f"{short}/")


def _readers(raw: Any, datasets: set[str]) -> Iterator[str]:
    """Yield the names of activities that name a dataset otherwise than as their output."""
    for node in objects_within(raw):
        inputs = [*list_of(node, "inputs"), *_dataset_of(node.get("typeProperties"))]
        if any(text_at(reference, "referenceName").lower() in datasets for reference in inputs):
            yield text_at(node, "name")


def _dataset_of(settings: Any) -> list[Any]:
    return [settings["dataset"]] if isinstance(settings, dict) and "dataset" in settings else []


def _is_read(flow: Resource, datasets: set[str]) -> bool:
    """Whether a data flow has one of the datasets as its source, not as its sink."""
    sources = objects_of(flow.raw, "typeProperties", "sources")
    names = (text_at(source, "dataset", "referenceName") for source in sources)
    return any(name.lower() in datasets for name in names)
