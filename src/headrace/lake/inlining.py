"""What a body reads, as the text of a SELECT: a table's files, or a view's statement over the files that its reader requires."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, Self, TypeVar

from headrace.lake.relation import relation_sql
from headrace.lake.sqltext import quote
from headrace.lake.tables import FileRef, LakeColumn


class Readable(Protocol):
    """A table (`files`), or a view (`sql` over `inputs`)."""

    @property
    def name(self) -> str: ...
    @property
    def files(self) -> tuple[FileRef, ...]: ...
    @property
    def columns(self) -> tuple[LakeColumn, ...]: ...
    @property
    def sql(self) -> str: ...
    @property
    def inputs(self) -> tuple[Self, ...]: ...


def source_sql(data: Readable) -> str:
    """A SELECT over the rows. What a view reads has names of its own inside: the reader may have other partitions of the same."""
    if not data.sql:
        return relation_sql(data.files, data.columns)
    inputs = named_sql(data.inputs)
    return f"{f'WITH {inputs} ' if inputs else ''}SELECT * FROM (\n{data.sql}\n) AS {quote(data.name)}"


def named_sql(inputs: Sequence[Readable]) -> str:
    """The inputs as what stands after WITH."""
    return ", ".join(f"{quote(each.name)} AS NOT MATERIALIZED ({source_sql(each)})" for each in inputs)


AnyReadable = TypeVar("AnyReadable", bound=Readable)


def tables_in(inputs: Sequence[AnyReadable]) -> Iterator[AnyReadable]:
    """The tables behind what is read, those of views too."""
    for each in inputs:
        if each.sql:
            yield from tables_in(each.inputs)
        else:
            yield each
