"""For users' own tests of their assets, with pytest or without: given rows in, computed rows out. No lake, no state.

from headrace.testing import run_asset

def test_a_storm_cancels_everything():
    table = run_asset(".", "carrier_delays", partition="2013-02-08", given={"flights_clean": [{"carrier": "UA", …}]})
    assert table.to_pylist() == […]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.model.errors import HeadraceError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["AssetFailed", "check", "run_asset"]


class AssetFailed(HeadraceError):
    """The body failed. `file` and `line` say where, `log` holds the lines that it printed."""

    def __init__(self, message: str, *, hint: str = "", file: str | None = None, line: int | None = None, log: Sequence[str] = ()) -> None:
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
    """What an asset computes from these rows, by the engine's own code, in a worker of its own.

    `given` maps inputs to lists of mappings, paths (CSV, JSON, JSON lines, Parquet), Arrow tables or data frames; what isn't
    given is empty. Columns have the types that contracts and lineage say, else those of the rows.

    Raises AssetFailed where the body fails, HeadraceError where the project, the asset or the rows can't be used.
    """
    from contextlib import closing

    from headrace.services.asset_tests import compute_asset

    with closing(_session(project)) as session:
        computed = compute_asset(session, asset, partition, dict(given or {}), dict(parameters or {}))
    if computed.error is not None:
        error = computed.error
        place = f" ({error.file}:{error.line})" if error.file else ""
        raise AssetFailed(f"{asset}: {error.message}{place}", hint=error.hint or "", file=error.file, line=error.line, log=computed.log)
    return computed.table


def check(project: str | Path, *select: str) -> None:
    """Run the project's tests/*.yaml of the selected assets, of all where nothing is selected. AssertionError for those that fail."""
    from contextlib import closing

    from headrace.services.asset_tests import run_tests
    from headrace.services.session import Silent

    with closing(_session(project)) as session:
        rows = run_tests(session, list(select), progress=Silent())
    failed = [
        f"{row.test} ({row.file}:{row.line}): {row.error.message if row.error else row.reason or _said(row)}"
        for row in rows
        if row.state != "passed"
    ]
    if failed:
        raise AssertionError("\n".join(failed))


def _said(row: Any) -> str:
    return f"{row.differences} rows differ: missing {row.missing[:3]}, unexpected {row.unexpected[:3]}, changed {row.changed[:3]}"


def _session(project: str | Path) -> Any:
    from headrace.services.session import ProjectSession

    return ProjectSession.open(Path(project), "prod", None, "tests")
