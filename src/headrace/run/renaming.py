"""`renamed_from`: the table and all that is known of an asset go on under its new name; nothing is computed again."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.lake.catalog import CatalogChange, table
from headrace.model import ProjectError
from headrace.store import Transaction
from headrace.store.queries import renaming


def rename(tx: Transaction, renamed: Mapping[str, str], now: int) -> None:
    """Move everything of assets to new names (new → former). Raises ProjectError for a new name that is taken by what was there
    before."""
    change = CatalogChange.begin(tx, now)
    for name, former in renamed.items():
        _free(tx, name, former)
        if table(tx, former) is not None:
            change.rename_table(former, name)
        renaming.rename(tx, former, name)
    change.finish(author="headrace", message="rename " + ", ".join(f"{former} to {name}" for name, former in renamed.items())[:500])


def _free(tx: Transaction, name: str, former: str) -> None:
    taken = table(tx, name) is not None or renaming.is_known(tx, name)
    if taken and name.lower() != former.lower():
        message = f"{former} can't be renamed to {name}: there was an asset of that name, whose data is still there"
        raise ProjectError(message, hint="take another name")
