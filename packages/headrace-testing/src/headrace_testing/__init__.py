"""Unit tests of assets, with pytest or without: compute an asset from given rows, without a lake.

from headrace_testing import run_asset

def test_a_storm_cancels_everything():
    table = run_asset(".", "carrier_delays", partition="2013-02-08", given={"flights_clean":
    [{"carrier": "UA", …}]}) assert table.to_pylist() == […]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace_testing.assets import AssetFailed, check, run_asset

__all__ = ["AssetFailed", "check", "run_asset"]


def __getattr__(name: str) -> Any:
    """Import a name when it is used: `headrace --help` imports this package for its commands."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from headrace_testing import assets

    return getattr(assets, name)
