"""What a read says of data that an open incident keeps from being there."""

from __future__ import annotations

from pathlib import Path

import pytest
from runlab import DAYS, Lab


@pytest.mark.parametrize(("right", "state"), [([], "never"), (DAYS[:1], "behind")])
def test_a_read_names_the_incident_that_keeps_data_back(
    tmp_path: Path, right: list[str], state: str
) -> None:
    """Would catch: an empty table, or an old one, of which a read doesn't say what it waits for."""
    lab = Lab(tmp_path)
    lab.sql("kept", "select * from orders")
    for day in right:
        lab.orders(day)
    lab.tick()
    assert lab.headrace("read", "kept")["states"] == []
    lab.deliver(DAYS[len(right)], ["nothing"], header="of this")
    lab.tick()
    read = lab.headrace("read", "kept")
    late = [(item["state"], item["node"], item["incident"]) for item in read["states"]]
    assert (read["state"], late) == (state, [("late", "kept", "INC-1")])
