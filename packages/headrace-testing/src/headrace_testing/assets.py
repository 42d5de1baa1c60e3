"""`run_asset` computes an asset from given rows, `check` runs the tests in YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.extension import HeadraceError

if TYPE_CHECKING:
    import pyarrow as pa


class AssetFailed(HeadraceError):
    """The asset code failed, at `file` and `line`; `log` holds the lines that it printed."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        file: str | None = None,
        line: int | None = None,
        log: Sequence[str] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.file, self.line, self.log = file, line, tuple(log)


def run_asset(
    project: str | Path,
    asset: str,
    *,
    partition: str | None = None,
    given: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> pa.Table:
    """Return the rows that an asset computes from the given inputs.

    The engine's own code computes them, in a separate worker process.

    `given` maps the names of inputs to their rows: a list of mappings, a path (CSV, JSON, JSON
    lines, Parquet), an Arrow table or a data frame. An input that `given` leaves out is empty.
    Column types come from contracts and lineage where these know them, else from the rows.

    Raises AssetFailed if the asset code fails, HeadraceError if the project, the asset or the rows
    can't be used.
    """
    from contextlib import closing

    from headrace_testing.services.asset_tests import compute_asset

    with closing(_session(project)) as session:
        computed = compute_asset(
            session, asset, partition, dict(given or {}), dict(parameters or {})
        )
    if computed.error is not None:
        error = computed.error
        place = f" ({error.file}:{error.line})" if error.file else ""
        raise AssetFailed(
            f"{asset}: {error.message}{place}",
            hint=error.hint or "",
            file=error.file,
            line=error.line,
            log=computed.log,
        )
    return computed.table


def check(project: str | Path, *select: str) -> None:
    """Run the tests in the project's `tests/*.yaml`, for the selected assets or for all of them.

    Raises AssertionError that lists the failed tests.
    """
    from contextlib import closing

    from headrace.extension import Silent
    from headrace_testing.services.asset_tests import run_tests

    with closing(_session(project)) as session:
        rows = run_tests(session, list(select), progress=Silent())
    failed = [
        f"{row.test} ({row.file}:{row.line}):"
        f" {row.error.message if row.error else row.reason or _difference_text(row)}"
        for row in rows
        if row.state != "passed"
    ]
    if failed:
        raise AssertionError("\n".join(failed))


def _difference_text(row: Any) -> str:
    return (
        f"{row.differences} rows differ: missing {row.missing[:3]}, unexpected"
        f" {row.unexpected[:3]}, changed {row.changed[:3]}"
    )


def _session(project: str | Path) -> Any:
    from headrace.extension import ProjectSession

    return ProjectSession.open(Path(project), "prod", None, "tests")
