"""Packages that are installed as a link to a folder elsewhere: assets run what stands there now, and nobody sees a change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from headrace.model import Asset, Problem, ProblemLevel
from headrace.model.reporting import shown
from headrace.plan import Compilation
from headrace.plan.code import packages

OURS = "headrace"
"""What every asset imports; how it is installed is no asset's affair."""
SOURCES = ("", "src")
"""Where the modules lie in the folder of an editable package."""


class Editable(msgspec.Struct, frozen=True):
    """A distribution that is installed editable, and its folder."""

    name: str
    folder: Path


def with_editable_packages(compilation: Compilation, root: Path) -> Compilation:
    """The compilation with a warning for each asset that imports an editable package from outside of the project."""
    compiled = compilation.compiled or compilation.partial
    if compiled is None:
        return compilation
    imported = {name: packages(compiled.code, name) for name in compiled.project.assets}
    if not any(imported.values()):
        return compilation
    known = _editable(root.resolve())
    problems = [
        _problem(compiled.project.assets[asset], known[name])
        for asset, names in imported.items()
        for name in sorted(names)
        if name in known and known[name].name not in compiled.project.assets[asset].code_packages
    ]
    if not problems:
        return compilation
    return msgspec.structs.replace(compilation, problems=[*compilation.problems, *problems])


def _editable(root: Path) -> Mapping[str, Editable]:
    """Top-level module → the editable distribution that it comes from, of those outside of the project."""
    editables: dict[str, Editable] = {}
    for distribution in metadata.distributions():
        folder = _folder(distribution)
        if folder is None or distribution.metadata["Name"] == OURS or folder.is_relative_to(root) or root.is_relative_to(folder):
            continue
        for name in _modules(folder):
            editables.setdefault(name, Editable(distribution.metadata["Name"] or name, folder))
    return editables


def _folder(item: metadata.Distribution) -> Path | None:
    """The folder of an editable distribution (PEP 610); None for others."""
    try:
        told = json.loads(item.read_text("direct_url.json") or "{}")
        url = urlsplit(told["url"])
        editable = told["dir_info"]["editable"] is True and url.scheme == "file"
    except (KeyError, TypeError, ValueError, OSError):
        return None
    return Path(unquote(url.path)).resolve() if editable else None


def _modules(folder: Path) -> Iterator[str]:
    for place in SOURCES:
        try:
            entries = sorted((folder / place).iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.suffix == ".py" and entry.stem.isidentifier():
                yield entry.stem
            elif entry.name.isidentifier() and (entry / "__init__.py").is_file():
                yield entry.name


def _problem(asset: Asset, editable: Editable) -> Problem:
    return Problem(
        code="editable_package",
        message=(
            f"{shown(asset.name)} imports {shown(editable.name)}, which is installed editable from "
            f"{editable.folder}: a change there runs at once, and no plan shows it"
        ),
        hint=(
            "install a built version, or keep its files in the project; "
            f"`code_packages: [{editable.name}]` says that its version is all that counts"
        ),
        place=asset.place,
        level=ProblemLevel.WARNING,
    )
