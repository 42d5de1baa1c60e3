"""`renamed_from`: the table and all that is known of an asset go on under its new name; nothing is computed again."""

from __future__ import annotations

from headrace.lake.catalog import Change, table
from headrace.model import ProjectError
from headrace.plan import Compiled
from headrace.plan.comparing import renames
from headrace.store import Transaction
from headrace.store.queries import renaming


def rename(tx: Transaction, before: Compiled, after: Compiled, now: int) -> None:
    """Do what `renamed_from` of the assets says, as far as it isn't done. Raises ProjectError for a former name that nothing has,
    and for a new one that is taken by what was there before."""
    found = renames(before, after)
    for asset in after.project.assets.values():
        if asset.renamed_from is not None and asset.name not in found and asset.name not in before.project.assets:
            raise ProjectError(
                f"{asset.place.file}: {asset.name} is renamed_from: {asset.renamed_from}, and no asset is called so",
                hint="take renamed_from out; `headrace ls` shows what there is",
            )
    if not found:
        return
    change = Change.begin(tx, now)
    for name, former in found.items():
        _free(tx, name, former)
        if table(tx, former) is not None:
            change.rename_table(former, name)
        renaming.rename(tx, former, name)
    change.finish(author="headrace", message="rename " + ", ".join(f"{former} to {name}" for name, former in found.items())[:500])


def _free(tx: Transaction, name: str, former: str) -> None:
    taken = table(tx, name) is not None or renaming.is_known(tx, name)
    if taken and name.lower() != former.lower():
        message = f"{former} can't be renamed to {name}: there was an asset of that name, whose data is still there"
        raise ProjectError(message, hint="take another name")
