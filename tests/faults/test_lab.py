"""The laboratory itself: that its worlds are sound projects, that its faults are faults, and one of them from end to end."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from lab.campaign_lab import Campaign, chosen, pairs
from lab.declarations import SERVER, TOKEN, declare
from lab.delivered import DELIVERED
from lab.deliveries import Delivery
from lab.faults import DAY
from lab.graph import ASSETS
from lab.month import Lab
from lab.scenario import ALL, drawn
from lab.verdict import Verdict

from headrace.plan import compile_project

SEEDS = (1, 1001, 2001, 2002)
NULL_SPIKE = 15


@pytest.mark.parametrize("seed", SEEDS)
def test_a_world_is_a_sound_project(seed: int, tmp_path: Path) -> None:
    """Catches a world whose project has problems: what it measures would be its own mistakes."""
    lab = Lab(seed, tmp_path)
    declare(tmp_path, lab.world, lab.graph)
    compiled = compile_project(tmp_path)
    assert {problem.code for problem in compiled.problems} <= {"code_not_followed"}  # its faults are planted by `exec`
    assert len(lab.graph.assets) == ASSETS
    owners = {lab.world.reference.owner, *(one.owner for one in lab.world.events)}
    assert len(owners) in {4, 5}
    assert all(lab.graph.below(one.name) for one in lab.world.events)


def test_scenarios_are_chosen_by_kind(tmp_path: Path) -> None:
    """Catches a kind that is misspelt and plays all of a seed, and one that plays another's faults."""
    lab = Lab(1, tmp_path)
    declare(tmp_path, lab.world, lab.graph)
    kinds = {ALL[int(one)](lab, random.Random(0)).name for one in chosen(1, tmp_path, ["null_spike", "schema_change"])}
    assert kinds == {"null_spike", "schema_change renamed", "schema_change dropped", "schema_change headless"}
    with pytest.raises(ValueError, match="no fault is called nul_spike"):
        list(chosen(1, tmp_path, ["nul_spike"]))


def test_of_two_at_once_neither_hides_the_other(tmp_path: Path) -> None:
    """Catches a body that was changed and never ran, for what it reads was held back: nobody could find that."""
    for seed in range(3, 13):
        lab = Lab(seed, tmp_path / str(seed))
        declare(lab.root, lab.world, lab.graph)
        for pair in pairs(lab):
            nodes = {one.node for one in drawn(lab, [ALL[int(number)] for number in pair.split("+")], pair)}
            assert len(nodes) == 2
            assert not any(
                one in lab.graph.above(other)
                for one in nodes
                for other in nodes - {one}
                if other in {asset.name for asset in lab.graph.assets}
            )


@pytest.mark.parametrize("seed", SEEDS)
def test_every_delivered_fault_changes_its_delivery(seed: int, tmp_path: Path) -> None:
    """Catches a fault that does nothing, which nobody could find."""
    lab = Lab(seed, tmp_path)
    for number, make in enumerate(DELIVERED):
        fault = make(lab, random.Random(f"{seed} {number}"))
        for name, change in fault.shaped.items():
            before, after = _delivery(lab, name), _delivery(lab, name)
            change(after, None)
            assert before != after, f"seed {seed}: {fault.name}"


def _delivery(lab: Lab, name: str) -> Delivery:
    source = next((one for one in lab.world.events if one.name == name), None)
    return lab.days.reference(DAY) if source is None else lab.days.events(source, DAY)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_a_fault_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a laboratory that finds nothing because it doesn't run: an emptied column is found where it was emptied, and nothing in
    the clean weeks."""
    for name in (SERVER, TOKEN, "LAB_MACHINE"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    said: list[str] = []
    campaign = Campaign(3, tmp_path, said.append)
    campaign.prepare()
    assert campaign.cleanly().false_alarms == [], said
    found: Verdict = campaign.scenario([NULL_SPIKE])
    assert ALL[NULL_SPIKE].__name__ == "emptied"
    assert [one.right for one in found.faults] == [True], found
