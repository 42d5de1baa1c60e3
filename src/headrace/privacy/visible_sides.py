"""What somebody may see of two versions of a table that are compared: masked values, or nothing.

The comparison itself sees the masked values only, as a query of `sql` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headrace.access.permissions import unrestricted
from headrace.lake import PARTITION_COLUMN, LakeColumn, LakeTable
from headrace.lake.masks import ORDER, ColumnMask
from headrace.model.errors import ColumnRefused
from headrace.privacy.masking import all_left_out, column_limits, fitting_masks
from headrace.project.session import ProjectSession


class VisibleSides(NamedTuple):
    """The columns, in lower case, that are left out of both sides, and the masks of each side."""

    left_out: frozenset[str] = frozenset()
    masks: tuple[dict[str, ColumnMask], dict[str, ColumnMask]] = ({}, {})

    @property
    def names(self) -> list[str]:
        """The columns that are masked or left out."""
        return sorted({*self.left_out, *self.masks[0], *self.masks[1]} - {ORDER})

    def hides_all(self, columns: Sequence[LakeColumn]) -> bool:
        """Whether none of these columns may be seen."""
        return bool(columns) and all(item.name.lower() in self.left_out for item in columns)

    def visible(self, node: str, columns: Sequence[LakeColumn]) -> tuple[LakeColumn, ...]:
        """Return the columns that aren't left out. Raise Refused if none remains."""
        if self.hides_all(columns):
            raise all_left_out(node)
        return tuple(item for item in columns if item.name.lower() not in self.left_out)

    def refuse_keys(self, node: str, keys: Sequence[str]) -> None:
        """Raise Refused for a key that is left out."""
        refused = next((key for key in keys if key.lower() in self.left_out), None)
        if refused is not None:
            raise ColumnRefused(
                f"you may not read the column {refused[:60]} of {node}",
                hint="name other columns with --keys",
            )


def visible_sides(
    sessions: tuple[ProjectSession, ProjectSession],
    node: str,
    tables: tuple[LakeTable | None, LakeTable | None],
    *,
    over_network: bool = False,
) -> VisibleSides:
    """Return what the identity of the sessions may see of both sides of a node.

    Over the network, nobody sees classified columns in the clear. A column that is masked on one
    side only is left out: its values would differ everywhere. Raise KeyProblem if the key of a mask
    can't be had.
    """
    limited = [
        _limited(*pair, node, over_network=over_network)
        for pair in zip(sessions, tables, strict=True)
    ]
    (before_out, before), (after_out, after) = limited
    names = [_names(table) for table in tables]
    one_sided = (before.keys() ^ after.keys()) & names[0].keys() & names[1].keys()
    return VisibleSides(frozenset({*before_out, *after_out, *one_sided}), (before, after))


def _limited(
    session: ProjectSession, table: LakeTable | None, node: str, *, over_network: bool
) -> tuple[frozenset[str], dict[str, ColumnMask]]:
    if table is None or (not over_network and unrestricted(session)):
        return frozenset(), {}
    limits = column_limits(session, node, over_network=over_network, past=True)
    if not limits.limited:
        return frozenset(), {}
    return fitting_masks(session, limits, tuple(_names(table).values()))


def _names(table: LakeTable | None) -> dict[str, LakeColumn]:
    columns = table.columns if table is not None else ()
    return {item.name.lower(): item for item in columns if item.name != PARTITION_COLUMN}
