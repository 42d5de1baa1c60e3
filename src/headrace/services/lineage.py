"""`lineage`: upstream and downstream columns of a column, as the files declare them."""

from __future__ import annotations

from typing import Annotated

from headrace.access.permissions import SEE, command
from headrace.compiler.lineage import compile_lineage
from headrace.model import Asset, Source
from headrace.plan.impact import ALL_COLUMNS, LineageStep
from headrace.project import code_versions, targets
from headrace.project.parameters import Argument
from headrace.project.session import ProjectSession, usable
from headrace.responses import LineageResponse, LineageRow, PublishedCodeRow


@command("lineage", SEE, http="GET /lineage/{column:path} lineage", of_files=True)
def lineage(
    session: ProjectSession,
    column: Annotated[
        str, Argument("ASSET[.COLUMN]", help="an asset or a source, or one of its columns")
    ],
    *,
    up: bool = True,
    down: bool = True,
) -> LineageResponse:
    """Return every upstream and downstream step of `ASSET[.COLUMN]`, nearest first.

    A side that isn't requested is None. Raise InvalidProject if the files have errors, UsageError
    for an unknown asset or column.
    """
    compiled = usable(session.declared())
    name, dot, column = column.partition(".")
    node, _ = targets.target(name, compiled.project, kinds=(Source, Asset))
    selected_column = column if dot else None
    result = compile_lineage(compiled, session.data_folder / "cache")
    changed = ALL_COLUMNS if selected_column is None else selected_column
    assets, consumers = result.users(node, [changed]) if down else (None, None)
    return LineageResponse(
        column=f"{node}.{selected_column}" if selected_column is not None else node,
        upstream=_rows(result.upstream(node, selected_column)) if up else None,
        downstream=_rows(result.downstream(node, selected_column)) if down else None,
        affected_assets=assets,
        affected_consumers=consumers,
        code=_code(session, node) if node in compiled.project.assets else [],
    )


def _code(session: ProjectSession, asset: str) -> list[PublishedCodeRow]:
    if session.store is None:
        return []
    with session.store.read() as tx:
        return code_versions.published(tx, asset)


def _rows(steps: list[LineageStep]) -> list[LineageRow]:
    """Return each step once: several paths may lead over it."""
    rows = (
        LineageRow(column=step.column, via=step.via, transformation=step.transformation.value)
        for step in steps
    )
    return list(dict.fromkeys(rows))
