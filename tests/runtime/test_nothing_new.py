"""What a run says of data that is as before, and `render` of an asset that reads itself."""

from __future__ import annotations

import os
from pathlib import Path

from runlab import DAYS, Lab
from warm_fork_servers import headrace


def _tick(lab: Lab) -> str:
    now = lab.session()
    now.close()
    words = ["tick", "--now", lab.now.isoformat(), "--no-color", "--project", str(lab.root)]
    done = headrace(words, Path.cwd(), os.environ, 150)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_touched_file_with_the_same_bytes_is_nothing_new(tmp_path: Path) -> None:
    """Would catch: `1 partition published` each time that somebody copies the same file again."""
    lab = Lab(tmp_path / "p")
    lab.write("sources/prices.yaml", "source: prices\nowner: acme\nfiles: landing/prices.csv\n")
    lab.sql("price", "select item, price from prices", "description: as delivered")
    prices = lab.root / "landing/prices.csv"
    prices.write_text("item,price\na,1\nb,2\n", encoding="utf-8")
    first = _tick(lab)
    assert "2 partitions published" in first
    assert "identical" not in first
    os.utime(prices)
    second = _tick(lab)
    assert "0 partitions published · 1 identical, nothing new" in second
    prices.write_text("item,price\na,1\nb,3\n", encoding="utf-8")
    assert "identical" not in _tick(lab)


def test_the_columns_of_an_asset_that_reads_itself_are_those_it_has_published(
    tmp_path: Path,
) -> None:
    """Would catch: "known once it has run", of an asset that has run for days; columns of earlier
    code."""
    lab = Lab(tmp_path / "p")
    text = (
        "select day, sum(amount) + coalesce((select max(total) from $self), 0) as total"
        " from orders group by day"
    )
    lab.sql("running", text)
    assert lab.headrace("render", f"running@{DAYS[0]}")["columns"] is None
    for day in DAYS[:2]:
        lab.orders(day)
    lab.tick()
    columns = lab.headrace("render", f"running@{DAYS[1]}")["columns"]
    assert [column["name"] for column in columns] == ["day", "total"]
    lab.sql("running", text.replace("as total from", "as total, 1 as one from"))
    assert lab.headrace("render", f"running@{DAYS[1]}")["columns"] is None
