"""Rows and bytes per second of work: by stage, for sources, assets and domains."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from headrace.slo.goodput import GoodputAttempt, GoodputPublication, by_node
from headrace.slo.throughput import Throughput, throughputs

SECOND = 1_000_000
DOMAINS = {"orders": "sales", "revenue": "sales", "alone": ""}


def _attempt(
    node: str,
    state: str,
    rows: int,
    *publications: GoodputPublication,
    delivery: int | None = None,
    before: bool = False,
) -> GoodputAttempt:
    return GoodputAttempt(
        node,
        "1.1",
        state,
        1,
        rows,
        publications,
        delivery,
        {"run": 2 * SECOND},
        before=before,
        bytes_in=rows * 10,
        bytes_out=rows * 4,
    )


def _published(rows: int, *, ended: int | None = None, wrong: bool = False) -> GoodputPublication:
    return GoodputPublication("2025-01-01", rows, identical=False, ended_us=ended, wrong=wrong,
                              bytes=rows * 4)  # fmt: skip


def _of(*attempts: GoodputAttempt) -> dict[str, Throughput]:
    results = throughputs(by_node(attempts), lambda name: name == "orders", DOMAINS.__getitem__)
    return {item.name: item for item in results}


def _rates(item: Throughput) -> Mapping[str, tuple[float | None, float | None]]:
    return {
        stage: (amount.rows_per_second, amount.bytes_per_second)
        for stage, amount in item.stages.items()
    }


def test_stages_of_a_source() -> None:
    """Would catch: a delivery that is ingested twice counted twice as delivered, held rows counted
    as published, or wrong rows as good."""
    item = _of(
        _attempt("orders", "held", 100, delivery=1),
        _attempt("orders", "published", 100, _published(100), delivery=1),
        _attempt("orders", "published", 40, _published(40, wrong=True), delivery=2),
        _attempt("orders", "rejected", 60, delivery=3),
    )["orders"]
    assert item.kind == "source"
    assert _rates(item) == {
        "delivered": (200 / 8, 2000 / 8),
        "processed": (300 / 8, 1200 / 8),
        "published": (140 / 8, 560 / 8),
        "good": (100 / 8, 400 / 8),
    }
    assert item.rework_ratio == pytest.approx(100 / 300)


def test_an_asset_has_no_deliveries() -> None:
    """Would catch: rows that an asset staged called delivered, and a rate without any work."""
    assert (
        "delivered"
        not in _of(_attempt("revenue", "published", 10, _published(10)))["revenue"].stages
    )
    idle = GoodputAttempt("revenue", "1.1", "failed", 1, 0)
    item = _of(idle)["revenue"]
    assert set(_rates(item).values()) == {(None, None)}
    assert item.rework_ratio is None


def test_a_domain_is_its_nodes_together() -> None:
    """Would catch: a mean of rates instead of the rate of all work, seconds of assets counted for
    deliveries, or nodes without a domain put together."""
    results = _of(
        _attempt("orders", "published", 100, _published(100), delivery=1),
        _attempt("revenue", "published", 10, _published(10)),
        _attempt("alone", "published", 7, _published(7)),
    )
    assert list(results) == ["orders", "revenue", "alone", "sales"]
    assert _rates(results["sales"]) == {
        "delivered": (50.0, 500.0),
        "processed": (110 / 4, 440 / 4),
        "published": (110 / 4, 440 / 4),
        "good": (110 / 4, 440 / 4),
    }


def test_a_delivery_from_before_the_window_brings_no_bytes() -> None:
    """Would catch: a window that counts a delivery of an earlier one again."""
    item = _of(_attempt("orders", "published", 100, _published(100), delivery=1, before=True))
    assert item["orders"].stages["delivered"].bytes == 0
