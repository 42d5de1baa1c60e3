"""Finds the resources of factories below a folder: files in their folders, and ARM templates."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from headrace_import.importers.adf import arm
from headrace_import.importers.adf.json_text import (
    FILE_BYTES_MAX,
    BrokenJsonError,
    JsonObject,
    decoded,
    parse,
)
from headrace_import.importers.adf.reading import objects_within
from headrace_import.importers.origin_files import is_new_project, left_out, working_on

KINDS = {
    "pipeline": "pipeline",
    "pipelines": "pipeline",
    "dataset": "dataset",
    "datasets": "dataset",
    "linkedservice": "linked service",
    "linkedservices": "linked service",
    "trigger": "trigger",
    "triggers": "trigger",
    "dataflow": "data flow",
    "dataflows": "data flow",
    "factory": "factory",
    "factories": "factory",
    "globalparameters": "factory",
    "integrationruntime": "integration runtime",
    "integrationruntimes": "integration runtime",
}
"""Kind of a resource by the folder of its file, and by its type in a template."""
_ENDINGS = (".json", ".json!")
_SIGNS = (b"microsoft.datafactory", b"microsoft.synapse", b'"activities"')
_SKIPPED = frozenset((".git", ".vscode", "node_modules", "__pycache__", ".venv"))
FILES_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a factory. `file` is relative to the root; `raw` are its properties."""

    kind: str
    name: str
    file: str
    raw: JsonObject
    factory: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that can't be read, or a resource that can't be used."""

    file: str
    line: int
    reason: str
    text: str


@dataclass(slots=True)
class Origin:
    """All resources below a folder, and the files that can't be read."""

    resources: list[Resource] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    templates: list[tuple[str, JsonObject]] = field(default_factory=list)
    """ARM templates with their files; their parameters may hold secrets."""
    _index: dict[tuple[str, str], list[Resource]] = field(default_factory=dict)

    def add(self, resource: Resource) -> None:
        """Keep a resource; one that says the same as another of its name is left out."""
        same = self._index.setdefault((resource.kind, resource.name.lower()), [])
        if any(dict(other.raw) == dict(resource.raw) for other in same):
            return
        same.append(resource)
        self.resources.append(resource)

    def of_kind(self, kind: str) -> list[Resource]:
        """Return the resources of a kind, in the order of their files."""
        return [resource for resource in self.resources if resource.kind == kind]

    def find(self, kind: str, name: Any, factory: str) -> Resource | None:
        """Return a resource by its name: of the factory, else the only one of that name."""
        if not isinstance(name, str):
            return None
        known = self._index.get((kind, name.lower()), [])
        of_factory = [resource for resource in known if resource.factory == factory]
        if of_factory:
            return of_factory[0]
        return known[0] if len(known) == 1 else None


def read_origin(root: Path) -> Origin:
    """Read every resource below a folder; nothing is changed, and links aren't followed."""
    origin = Origin()
    templates: list[tuple[str, JsonObject]] = []
    given: dict[str, dict[str, Any]] = {}
    for path in _json_files(root):
        file = path.relative_to(root).as_posix()
        if reason := left_out(file):
            origin.broken.append(Broken(file, 1, reason, ""))
            continue
        with working_on(file):
            document = _document(path, file, origin)
        if document is None:
            continue
        if arm.is_template(document):
            templates.append((file, document))
        elif parameters := arm.given_parameters(document):
            given.setdefault(str(PurePosixPath(file).parent), {}).update(parameters)
        else:
            _add_file(file, document, origin)
    origin.templates += templates
    for file, template in templates:
        _add_template(file, template, given.get(str(PurePosixPath(file).parent), {}), origin)
    return origin


def _json_files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    count = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED and not is_new_project(Path(folder, name))
        )
        named = [Path(folder) / name for name in sorted(files) if name.lower().endswith(_ENDINGS)]
        count += len(named)
        if count > FILES_MAX:
            return
        yield from (path for path in named if path.is_file() and not path.is_symlink())


def _document(path: Path, file: str, origin: Origin) -> JsonObject | None:
    in_place = _kind_of_file(file) is not None
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            origin.broken.append(Broken(file, 1, f"it is larger than {FILE_BYTES_MAX:,} bytes", ""))
            return None
        content = path.read_bytes()
    except OSError as error:
        origin.broken.append(Broken(file, 1, f"it can't be read: {error.strerror}", ""))
        return None
    if not in_place and not _looks_like_a_factory(content):
        return None
    text = ""
    try:
        text = decoded(content)
        document = parse(text)
    except BrokenJsonError as error:
        if in_place or not file.lower().endswith(".parameters.json"):
            origin.broken.append(Broken(file, error.line, f"it isn't JSON: {error.message}", text))
        return None
    if not isinstance(document, JsonObject):
        if in_place:
            origin.broken.append(Broken(file, 1, "it holds no JSON object", text))
        return None
    return document


def _looks_like_a_factory(content: bytes) -> bool:
    lowered = content.replace(b"\0", b"").lower()
    return any(sign in lowered for sign in _SIGNS) or b"deploymentparameters" in lowered


def _kind_of_file(file: str) -> str | None:
    parts = PurePosixPath(file).parts
    return KINDS.get(parts[-2].lower()) if len(parts) > 1 else None


def _add_file(file: str, document: JsonObject, origin: Origin) -> None:
    kind, properties = _kind_of_file(file), _properties(document)
    if kind is None and isinstance(properties, dict) and "activities" in properties:
        kind = "pipeline"
    if kind is None:
        return
    if not isinstance(properties, JsonObject):
        if kind == "pipeline":
            origin.broken.append(
                Broken(file, document.line, "it has no `properties`", document.original)
            )
        return
    path = PurePosixPath(file)
    stem = path.name[: path.name.lower().rindex(".json")]
    name = document.get("name")
    resource_name = name if isinstance(name, str) and name.strip() else stem
    if stem == "pipeline-content" and not isinstance(name, str):
        resource_name = path.parent.name.removesuffix(".DataPipeline") or stem
    factory = str(path.parent.parent if _kind_of_file(file) else path.parent)
    origin.add(Resource(kind, resource_name, file, properties, factory))


def _properties(document: JsonObject) -> Any:
    """Return a resource's properties; the document itself where nothing is around them."""
    bare = "properties" not in document and isinstance(document.get("activities"), list)
    return document if bare else document.get("properties")


def _add_template(
    file: str, template: JsonObject, given: Mapping[str, Any], origin: Origin
) -> None:
    for resource in arm.resources(template, given):
        kind = KINDS.get(resource.kind)
        if kind is None:
            continue
        known = origin.find(kind, resource.name, "")
        if known is not None and kind == "pipeline" and _is_copy_of(resource, known):
            continue
        origin.add(Resource(kind, resource.name or "*", file, resource.properties, file))


def _is_copy_of(resource: arm.Resource, known: Resource) -> bool:
    """Whether a template holds the pipeline of a file once more, as a published factory does."""
    return not known.file.endswith(resource.name) and _names(resource.properties) == _names(
        known.raw
    )


def _names(properties: JsonObject) -> list[str]:
    """Return the names of a pipeline's activities, those in containers too."""
    return sorted(
        str(node["name"])
        for node in objects_within(properties.get("activities"))
        if isinstance(node.get("type"), str) and "name" in node
    )
