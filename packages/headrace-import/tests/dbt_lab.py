"""Small dbt projects for tests: files by path, imported, by id of their items."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headrace_import.importers import ImportedItem, ImportedProject, Verdict
from headrace_import.importers.dbt import read_project

SETTINGS = "name: shop\nprofile: shop\n"
PROFILE = "shop: {target: dev, outputs: {dev: {type: %s}}}\n"
ORDERS = "id,customer_id,amount\n1,1,10.5\n2,1,3\n"


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
