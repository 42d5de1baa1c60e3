"""Small dbt projects for tests: files by path, imported, by id of their items."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace_import.importers import ImportedItem, ImportedProject, Verdict
from headrace_import.importers.dbt import read_project, seed_types

SETTINGS = "name: shop\nprofile: shop\n"
PROFILE = "shop: {target: dev, outputs: {dev: {type: %s}}}\n"
ORDERS = "id,customer_id,amount\n1,1,10.5\n2,1,3\n"

_infer = seed_types._inferred
_inferred: dict[tuple[bytes, str, int], Any] = {}
"""Content, delimiter and number of columns of a seed → what Headrace infers of it."""


def _infer_once(path: Path, delimiter: str, width: int) -> Any:
    """Nearly all projects have the same seed: half the time of their tests went into it."""
    seed = (path.read_bytes(), delimiter, width)
    if seed not in _inferred:
        _inferred[seed] = _infer(path, delimiter, width)
    return _inferred[seed]


seed_types._inferred = _infer_once


def dbt_project(root: Path, files: Mapping[str, str | bytes], *, dialect: str = "duckdb") -> Path:
    """Write a dbt project with the seed `raw_orders`, and return its folder."""
    written: dict[str, str | bytes] = {
        "dbt_project.yml": SETTINGS,
        "profiles.yml": PROFILE % dialect,
        "seeds/raw_orders.csv": ORDERS,
        **files,
    }
    for name, content in written.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


class Imported:
    """An import, with its items by id."""

    def __init__(self, project: ImportedProject) -> None:
        self.project = project
        self.files = project.files
        self.items: dict[str, ImportedItem] = {item.id: item for item in project.items}
        assert len(self.items) == len(project.items), "an id stands in two items"

    def model(self, name: str) -> ImportedItem:
        """Return the item of a model."""
        return self.items[f"model.shop.{name}"]

    def verdicts(self) -> dict[str, Verdict]:
        """Return id → verdict."""
        return {name: item.verdict for name, item in self.items.items()}

    def body(self, path: str) -> str:
        """Return an asset's SQL, without its front matter, on one line."""
        return " ".join(self.files[path].split("*/\n", 1)[1].split())


def imported(root: Path, files: Mapping[str, str | bytes], *, dialect: str = "duckdb") -> Imported:
    """Write and import a dbt project."""
    return Imported(read_project(dbt_project(root, files, dialect=dialect)))
