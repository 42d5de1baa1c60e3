"""Responses of `import status`, `shadow`, `move`, `retire` and `rollback`."""

from __future__ import annotations

from headrace.extension import Response


class ImportDagRow(Response, frozen=True, kw_only=True):
    """Where a DAG of Airflow runs.

    `stage` is `airflow`, `shadow`, `moved`, `retired`, `both`, `neither`, `unfinished` if it is
    paused in Airflow while runs of it are unfinished there, or `unknown` if one side can't be told.
    In `shadow`, the carried assets run here, too, and none that starts its tasks.
    `in_airflow` and `here` are `active` or `paused`, or null if unknown; `why` says why.
    `unfinished` counts its queued and running runs in Airflow. `left` are its tasks that nothing
    here does.
    """

    dag: str
    stage: str
    in_airflow: str | None
    here: str | None
    why: str
    unfinished: int | None
    assets: list[str]
    left: list[str]
    next: str | None


class ImportedItemRow(Response, frozen=True, kw_only=True):
    """One item of an import. `files` are `as_written`, `edited`, `removed` or, without any, `none`.

    `origin` is `unchanged`, `changed`, `gone`, `retired` if its DAG is, or null if the origin isn't
    there any more.
    """

    id: str
    verdict: str
    files: str
    origin: str | None
    suggestions: list[str]


class ImportStatusResponse(Response, frozen=True, kw_only=True):
    """`import status`: how far an imported project is. `dags` is empty for other tools.

    `new` are items of the origin that weren't there when it was imported; null if the origin isn't
    there any more. `applied` are the suggestions that were applied.
    """

    tool: str
    directory: str
    origin: str
    dags: list[ImportDagRow]
    items: list[ImportedItemRow]
    new: list[str] | None
    applied: list[str]
    next: str | None


class ImportMovedResponse(Response, frozen=True, kw_only=True):
    """`import shadow`, `move`, `retire` and `rollback`: the DAG as it is now, or the suggestion
    that was taken back with the files that were restored.

    `files` are the changed files, and `diff` is their unified diff after a move. `notes` say where
    a moved DAG begins here, and with which interval Airflow goes on after a rollback.
    """

    dag: ImportDagRow | None
    suggestion: str | None
    files: list[str]
    next: str | None
    diff: str | None = None
    notes: list[str] = []
