"""Large Parquet deliveries whose column chunks are published as they came."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import duckdb
import pytest
from runlab import Lab

ROWS = 300_000
SOURCE = (
    "source: ticks\nowner: acme\npartition: day\nfiles: landing/ticks_{date:%Y-%m-%d}.parquet\n"
    "checks:\n  - not_null: [x]\n  - row_count: {min: 1}\n"
)
HIGHEST = 2**62 + 12345


def _deliver(lab: Lab, day: str) -> Path:
    path = lab.root / f"landing/ticks_{day}.parquet"
    duckdb.sql(
        f"COPY (SELECT (hash(range) >> 2)::BIGINT AS x, DATE '{day}' AS day FROM range({ROWS - 1})"
        f" UNION ALL SELECT {HIGHEST}, DATE '{day}') TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
    )
    return path


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    lab = Lab(tmp_path / "p")
    (lab.root / "sources/orders.yaml").unlink()
    lab.write("sources/ticks.yaml", SOURCE)
    lab.sql("peak", f"select day, max(x) as peak from ticks where x = {HIGHEST} group by day")
    return lab


def _published(lab: Lab) -> list[Path]:
    return sorted((lab.root / ".headrace/lake/main/ticks").glob("*.parquet"))


@pytest.mark.long
def test_chunks_are_published_as_they_came_and_outlive_the_delivery(lab: Lab) -> None:
    """Catches: values encoded again; a published file that needs the raw bytes or the delivery."""
    path = _deliver(lab, "2025-01-02")
    size = int.from_bytes(path.read_bytes()[-8:-4], "little")
    lab.tick()
    (published,) = _published(lab)
    data_end = path.stat().st_size - 8 - size
    begin = path.read_bytes()[: data_end // 2]
    assert published.read_bytes().startswith(begin)
    path.unlink()
    shutil.rmtree(lab.root / ".headrace/raw")
    assert [row["peak"] for row in lab.read("peak")] == [HIGHEST]
    assert len(lab.read("ticks")) == ROWS
    lab.headrace("db", "check", "--deep", code=None)
    status = lab.headrace("status")
    assert status["lake"]["damaged"] == 0


def test_a_footer_that_lies_hides_no_row_from_readers(lab: Lab) -> None:
    """Catches: a published file whose bounds are those that the delivery claims."""
    path = _deliver(lab, "2025-01-02")
    data = path.read_bytes()
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    highest = struct.pack("<q", HIGHEST)
    assert highest in data[end:]
    path.write_bytes(data[:end] + data[end:].replace(highest, struct.pack("<q", 1002)))
    assert duckdb.sql(f"SELECT count(*) FROM '{path}' WHERE x = {HIGHEST}").fetchall() == [(0,)]
    lab.tick()
    assert [row["peak"] for row in lab.read("peak")] == [HIGHEST]
    (published,) = _published(lab)
    found = duckdb.sql(f"SELECT count(*) FROM '{published}' WHERE x = {HIGHEST}").fetchall()
    assert found == [(1,)]
