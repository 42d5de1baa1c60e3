"""Files that end, or hold up, the process that parses them: refused in words, and the next file is
read.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from connect_workbench import Taken, Workbench
from poison_books import GOOD, bomb, far_cell

from headrace.connect import parser_process
from headrace.connect.deliveries import CannotRead, UnreadableFile
from headrace.connect.parser_process import POISON, Parser
from headrace.connect.raw_files import Opened, UnpackLimits


@pytest.fixture
def parser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Parser]:
    made = Parser()
    monkeypatch.setattr(parser_process, "PARSER", made)
    yield made
    made.stop()


def test_a_cell_at_the_far_end_costs_the_parser_and_no_more(
    bench: Workbench, parser: Parser
) -> None:
    """Would catch: a worker that SIGABRT ends, three times in every run."""
    assert len(far_cell()) < 10_000
    refused = bench.take(far_cell(), "poison.xlsx")
    assert isinstance(refused, UnreadableFile) and refused.code == POISON
    assert "SIGABRT" in refused.reason and "memory allocation" in refused.reason
    assert isinstance(bench.take(GOOD, "good.xlsx"), Taken)


def test_types_are_learnt_from_what_can_be_read(bench: Workbench, parser: Parser) -> None:
    """Would catch: a good file that is refused because the one beside it is no sample."""
    poison = bench.root / "poison.xlsx"
    poison.write_bytes(far_cell())
    taken = bench.take(GOOD, "good.xlsx", samples=[(poison, "poison.xlsx")])
    assert isinstance(taken, Taken) and taken.rows == [(1, "x"), (2, "y")]


@pytest.mark.system
@pytest.mark.long
def test_a_bomb_is_refused(bench: Workbench, parser: Parser) -> None:
    """Would catch: three gigabytes in the worker's memory, made of fourteen megabytes."""
    refused = bench.take(bomb(), "bomb.xlsx")
    assert isinstance(refused, UnreadableFile), refused
    assert isinstance(bench.take(GOOD, "good.xlsx"), Taken)


def test_memory_is_bounded(tmp_path: Path) -> None:
    """Would catch: a limit that is set and doesn't hold. The sheet is 300,000 rows of 300 columns,
    nearly all of them empty."""
    path = tmp_path / "large.xlsx"
    path.write_bytes(far_cell("KN", 300_000))
    small = Parser(memory_bytes_max=2**30)
    try:
        with pytest.raises(CannotRead, match=r"may use 1\.0 GiB") as refused:
            small.unfold("excel", Opened(str(path), "large.xlsx"), tmp_path, UnpackLimits(), None)
    finally:
        small.stop()
    assert refused.value.value.code == POISON


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    """Would catch: a worker that waits for ever. The process is stopped while it is at the file, as
    an endless loop would hold it."""
    path = tmp_path / "good.xlsx"
    path.write_bytes(GOOD)
    parser = Parser()
    try:
        parser.unfold("excel", Opened(str(path), "good.xlsx"), tmp_path, UnpackLimits(), None)
        process, _ = parser._started("excel")
        os.kill(process.pid, signal.SIGSTOP)
        parser._seconds_max = 1.0
        with pytest.raises(CannotRead, match="took more than 1 s") as refused:
            parser.unfold("excel", Opened(str(path), "good.xlsx"), tmp_path, UnpackLimits(), None)
        assert refused.value.value.code == POISON
        parser._seconds_max = 60.0
        made = parser.unfold(
            "excel", Opened(str(path), "good.xlsx"), tmp_path, UnpackLimits(), None
        )
        assert Path(made.path).exists()
    finally:
        parser.stop()
    assert [item.name for item in tmp_path.iterdir() if item.suffix == ".apart"] == []


def test_one_that_somebody_kills_is_answered_and_replaced(bench: Workbench, parser: Parser) -> None:
    """Would catch: a dead process that the next file is sent to."""
    assert isinstance(bench.take(GOOD, "good.xlsx"), Taken)
    process, _ = parser._started("excel")
    process.kill()
    process.wait()
    assert isinstance(bench.take(GOOD, "good.xlsx"), Taken)
