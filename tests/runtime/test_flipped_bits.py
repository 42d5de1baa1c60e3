"""`db check --deep` finds a flipped bit in a published file, whatever it does to the values.

Nothing else would: Parquet files as DuckDB writes them have no checksum of their pages, so that a
reader gets another number and no error.
"""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from runlab import DAYS, Lab, built_once

from headrace.runtime.content_check import (
    SAMPLE_BYTES,
    ContentResult,
    compare_contents,
    published_contents,
    read_files,
)

CONSUMERS = "- {consumer: board, owner: core, reads: [each, merged], due: '09:00'}\n"
SEED = random.randrange(10**6)


@built_once
def published(root: Path) -> Lab:
    """Files of one partition and of several, a merge with deletions, and one beyond 256 KiB."""
    made = Lab(root)
    made.write("consumers.yaml", CONSUMERS)
    day = "partition: {by: day, column: day}"
    made.sql("each", "select *, amount * 3 as tripled from orders", f"{day}\nbatch: off")
    made.sql("shared", "select day, customer, sum(amount) as total from orders group by all", day)
    made.sql(
        "merged",
        "select customer, max(amount) as amount, max(order_id) as newest, max(day) as at"
        " from orders group by customer",
        "partition: day\nmaterialize: merge\nmerge: {keys: [customer]}",
    )
    made.sql(
        "large",
        "select day, n, hash(n) % 1000003 as value, md5(n::varchar) as text"
        " from orders cross join range(9000) as numbers(n)",
        f"{day}\nbatch: off",
    )
    for number, key in enumerate(DAYS[:4]):
        made.deliver(
            key, [f"{number}{i},c{i},{i * 7}.{number}5,{key}" for i in range(6 if number else 200)]
        )
    made.tick()
    return made


@pytest.fixture
def lab(published: Lab) -> Lab:
    """The project in its own folder, which the catalog names."""
    published.tick()
    return published


def files(lab: Lab) -> list[Path]:
    return sorted((lab.root / ".headrace/lake/main").rglob("*.parquet"))


def flip(path: Path, dice: random.Random) -> bytes:
    """Change one bit between the magic and the footer; return the file as it was."""
    before = path.read_bytes()
    footer_bytes = int.from_bytes(before[-8:-4], "little")
    place = dice.randrange(4, len(before) - 8 - footer_bytes)
    content = bytearray(before)
    content[place] ^= 1 << dice.randrange(8)
    path.chmod(0o644)
    path.write_bytes(content)
    return before


def rows(path: Path) -> list[tuple[object, ...]] | None:
    """The rows as DuckDB reads them, None if it can't."""
    with duckdb.connect() as connection:
        try:
            return sorted(
                connection.execute("select * from read_parquet(?)", [str(path)]).fetchall(),
                key=repr,
            )
        except duckdb.Error:
            return None


def compared(lab: Lab) -> ContentResult:
    with closing(lab.session()) as session:
        assert session.store is not None
        with session.store.read() as tx:
            request = published_contents(tx, session.folders.lake)
        return compare_contents(request)


def test_each_flipped_bit_is_found_and_no_sound_file_is_blamed(lab: Lab) -> None:
    """Would catch: flipped bits that change a value and pass `db check --deep`; a damaged file
    named without its partition, its readers or a repair; a sound file that is named."""
    dice = random.Random(SEED)
    print("seed", SEED)
    sound = lab.headrace("db", "check", "--deep")
    assert (
        sound["ok"]
        and sound["files_read"] == len(files(lab))
        and not [item for item in sound["unchecked"] if item["what"] in ("files", "rows")]
    )
    assert sound["partitions_compared"] >= 3 * 4
    flipped = [path for path in files(lab) if dice.random() < 0.6]
    for path in flipped:
        flip(path, dice)
    result = lab.headrace("db", "check", "--deep", code=1)
    named = {item["key"]["path"]: item for item in result["differences"]}
    assert {Path(path).name for path in named} == {path.name for path in flipped}
    for item in named.values():
        assert item["source"] == "file"
        if item["table"] != "merged":
            assert item["key"]["partition"].startswith("2025-01-0")
        if item["table"] in ("orders", "each", "merged"):
            assert item["consumers"] == ["board"]
    todo = [item["todo"] for item in result["findings"] if item["about"] == "each"]
    assert all("headrace run each --partition 2025-01-0" in text for text in todo)


@pytest.mark.long
def test_rows_are_compared_with_the_hash_of_their_publication(lab: Lab) -> None:
    """Would catch: other rows in a file whose name says nothing of its bytes, as DuckLake's merges
    write it; a hash that differs for rows that are the same."""
    dice = random.Random(SEED)
    print("seed", SEED)
    assert compared(lab).differences == ()
    of_table = {path: path.parent.name for path in files(lab)}
    changed = 0
    for path in [path for path, table in of_table.items() if table in ("orders", "each", "shared")]:
        for _ in range(4):
            sound = rows(path)
            before = flip(path, dice)
            result, now = compared(lab), rows(path)
            found = {name for item in result.differences for name in item.paths} | {
                *result.unreadable
            }
            assert {Path(name).name for name in found} == ({path.name} if now != sound else set())
            changed += now is not None and now != sound
            path.write_bytes(before)
    assert changed, "no flipped bit changed a value"


def test_columns_that_changed_since_leave_the_hash_of_earlier_rows(lab: Lab) -> None:
    """Would catch: rows compared over columns that were added, dropped or retyped after them."""
    lab.sql(
        "each",
        "select order_id::varchar as order_id, day, amount * 3 as tripled, 1 as added from orders",
        "partition: {by: day, column: day}\nbatch: off",
    )
    lab.headrace("apply", "--yes", code=None)
    lab.run("each", partitions=[DAYS[0]], again=True, reason="other columns")
    result = lab.headrace("db", "check", "--deep")
    assert result["ok"] and result["partitions_compared"] >= 3 * 3


def test_without_deep_a_sample_is_read_whose_size_has_a_limit(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a sample that isn't stated, never leaves the same files, or reads all there
    are."""
    small = lab.headrace("db", "check")
    assert small["size_bytes"] <= small["bytes_read"] < SAMPLE_BYTES
    monkeypatch.setattr("headrace.runtime.content_check.SAMPLE_BYTES", 1)
    seen = set()
    with closing(lab.session()) as session:
        assert session.store is not None
        for path in files(lab):
            path.unlink()
        for _ in range(200):
            reading = read_files(session.store, session.folders.lake, deep=False)
            seen.add(reading.size_bytes)
            assert reading.files == 1 and reading.unread == small["files_read"] - 1
    assert len(seen) > 5
