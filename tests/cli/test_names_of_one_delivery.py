"""`contract accept` for one of two deliveries that call a column by different names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[..., Any]
NAMES = {1: "amount", 2: "amount", 3: "amount", 4: "amt", 5: "total_amount"}


def _deliver(landing: Path, day: int) -> None:
    rows = (f"{day}{n},c{n},{n * 10}.5{day},2026-01-0{day}\n" for n in range(10))
    text = f"order_id,customer,{NAMES[day]},day\n{''.join(rows)}"
    (landing / f"sales_2026-01-0{day}.csv").write_text(text)


def test_a_name_of_another_delivery_is_not_proposed(tmp_path: Path, call: Call) -> None:
    """Would catch: the name of the next day's column written for a day whose file lacks it, so
    that it waits again for the same reason."""
    for day in (1, 2, 3):
        _deliver(tmp_path, day)
    files = [f"sales_2026-01-0{day}.csv" for day in (1, 2, 3)]
    assert call(tmp_path, "init", "p", "--from", *files)[0] == 0
    assert call(tmp_path / "p", "run")[0] == 0
    for day in (4, 5):
        _deliver(tmp_path / "p/landing", day)
    call(tmp_path / "p", "run")
    accepted = call(tmp_path / "p", "contract", "accept", "sales@2026-01-05", "--yes")
    assert accepted[0] == 0, accepted[2]
    proposed = call(tmp_path / "p", "contract", "accept", "sales@2026-01-04", "--patch", "--json")
    assert [item["to"] for item in json.loads(proposed[1])["mappings"]] == ["amt"]
