"""Run by `python -m pytest` in the project's folder."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from headrace_testing import AssetFailed, run_asset

PROJECT = Path(__file__).parents[1]
ORDER = {"order_id": 1, "customer": "Ada", "net": 10.0, "currency": "USD"}


def test_dollars_become_euros() -> None:
    table = run_asset(PROJECT, "order_values", partition="2026-03-01", given={"orders": [ORDER]})
    assert table.to_pylist() == [{"customer": "Ada", "orders": 1, "euros": Decimal("9.20")}]


def test_an_unknown_currency_fails() -> None:
    with pytest.raises(AssetFailed, match="KeyError"):
        run_asset(
            PROJECT,
            "order_values",
            partition="2026-03-01",
            given={"orders": [ORDER | {"currency": "XXX"}]},
        )
