"""A contract made of what was observed, and what is refused of mappings."""

from __future__ import annotations

from pathlib import Path

import pytest
from runlab import DAYS, Lab, published

from headrace.model import HeadraceError
from headrace.project.session import Silent
from headrace.services.contract_accept import accept
from headrace.services.contract_inference import infer

HEADER = "order_id,customer,amount,status,day"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = Lab(tmp_path / "p")
    made.sql("totals", "select day, customer, sum(amount) as total from orders group by all")
    return made


def rows(day: str) -> list[str]:
    return [
        f"{day[-2:]}{i},{'' if i % 10 == 0 else f'c{i % 40}'},{1.5 + i % 7},{'open' if i % 3 else 'paid'},{day}"
        for i in range(60)
    ]


@pytest.mark.long
def test_a_contract_of_what_was_observed(lab: Lab) -> None:
    """Catches: rules without evidence, or that what was observed breaks; a text that isn't a
    contract, or that changes how deliveries are read; one that replaces a file."""
    with pytest.raises(HeadraceError, match="was published yet"):
        infer(lab.session(), "orders", write=True)
    for day in DAYS[:3]:
        lab.deliver(day, rows(day), HEADER)
    lab.tick()
    made = infer(lab.session(), "orders", write=True)
    assert (made.rows, made.partitions, made.written) == (180, 3, True)
    text = (lab.root / made.file).read_text()
    for said in (
        "required: true   # filled in all of 180 rows",
        "unique: true   # no value twice in a partition, 180 different ones in all",
        "# empty in 18 of 180 rows",
        '# only these values: ["open", "paid"]',
    ):
        assert said in text
    assert text.count("unique: true") == 1
    with pytest.raises(HeadraceError, match="is there already"):
        infer(lab.session(), "orders", write=True)
    lab.headrace("apply", "--yes")
    lab.deliver(DAYS[3], rows(DAYS[3]), HEADER)
    assert published(lab.tick()) == [("orders", DAYS[3]), ("totals", DAYS[3])]

    lab.deliver(DAYS[4], rows(DAYS[4]), "order_id,customer,amount,zustand,day")
    lab.tick()
    target = f"orders@{DAYS[4]}"
    assert "doesn't lack 'nothing'" in _refused(lab, target, "nothing=zustand")
    assert "has no new column 'amount'" in _refused(lab, target, "status=amount")
    assert "--map COLUMN=NEW_NAME" in _refused(lab, target, "status")
    assert "no rename is proposed" in _refused(lab, f"orders@{DAYS[0]}")
    assert "incident" in _refused(lab, "12")
    before = (lab.root / "contracts/orders.odcs.yaml").read_text()
    lab.sql("totals", "select day, sum(amount) as total from orders group by all")
    assert "other changes that aren't applied (totals)" in _refused(lab, target, "status=zustand")
    assert (lab.root / "contracts/orders.odcs.yaml").read_text() == before


def _refused(lab: Lab, target: str, *pairs: str, yes: bool = False) -> str:
    with pytest.raises(HeadraceError) as caught:
        accept(lab.session(), target, pairs=pairs, patch=False, yes=yes, progress=Silent())
    return f"{caught.value} {caught.value.hint}"
