"""Why a change of the lake is refused. Each leaves the change as it was; its other publications go on."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.lake.tables import FileRef
from headrace.model.errors import LakeError


class TableMoved(LakeError):
    """The table's columns aren't those that the work was done for: it must be done again."""


class FileMoved(LakeError):
    """A file that was to be replaced isn't current any more: only its rewrite must be done again."""


class NeedsRewrite(LakeError):
    """Partitions to be replaced share files with others. `files` are those to rewrite without them (`staging.stage_rewrite`)."""

    def __init__(self, table_name: str, files: Sequence[FileRef]) -> None:
        super().__init__(f"{len(files)} files of table `{table_name}` hold other partitions too and must be rewritten first")
        self.files = tuple(files)
