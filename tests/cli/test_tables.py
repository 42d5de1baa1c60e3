"""Tables fit whatever the terminal's width is."""

from __future__ import annotations

import io
import random

import pytest
from rich.cells import cell_len

from headrace.cli.terminal import ColumnLayout, Screen, StyledCell, paragraph, table

WIDTHS = (60, 80, 120, 200)


def drawn(width: int, columns: list[ColumnLayout], rows: list[list[str | StyledCell]]) -> list[str]:
    stream = io.StringIO()
    screen = Screen(stream)
    screen.width = width
    table(screen, columns, rows)
    return stream.getvalue().splitlines()


COLUMNS = [
    ColumnLayout("consumer", gives=2, least=10),
    ColumnLayout("state", least=8),
    ColumnLayout("rows", right=True, drops=1),
    ColumnLayout("why", gives=3, least=16),
]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    rows = [
        [
            "regulator-extract" * 3,
            StyledCell("✗ late", "bad"),
            "1,234,567",
            "flights renamed 2 columns " * 9,
        ]
        for _ in range(3)
    ]
    lines = drawn(width, COLUMNS, rows)
    assert len(lines) == 4, "one line a row: nothing wraps"
    assert max(cell_len(line) for line in lines) <= width
    assert "✗ late" in lines[1], "the column that must not be cut stays whole"


def test_random_tables_fit() -> None:
    """Would catch any combination of widths for which the fitting gives up or cuts more than it
    must."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(300):
        columns = [
            ColumnLayout(
                "t" * rng.randrange(1, 12),
                gives=rng.randrange(4),
                least=rng.randrange(3, 12),
                drops=rng.randrange(3),
            )
            for _ in range(rng.randrange(1, 9))
        ]
        rows: list[list[str | StyledCell]] = [
            ["x" * rng.choice([0, 1, 5, 30, 150]) for _ in columns] for _ in range(3)
        ]
        width = rng.choice([60, 80, 120])
        assert max(cell_len(line) for line in drawn(width, columns, rows)) <= width, (
            columns,
            rows,
            width,
        )


def test_wide_characters_count_twice() -> None:
    lines = drawn(
        60, [ColumnLayout("a", gives=1, least=6), ColumnLayout("b")], [["データ" * 30, "end"]]
    )
    assert cell_len(lines[1]) <= 60
    assert lines[1].endswith("end")


def test_markup_and_escapes_in_data_are_shown_not_obeyed() -> None:
    lines = drawn(120, [ColumnLayout("a")], [["[red]x[/red]\x1b[31m\r\nnext \u202egnp.exe"]])
    assert lines[1].strip() == "[red]x[/red]\\x1b[31m\\r\\nnext \\u202egnp.exe"


def test_room_that_is_left_is_used() -> None:
    """A first cut that is larger than needed must be given back."""
    lines = drawn(
        80,
        [
            ColumnLayout("a", gives=1, least=6),
            ColumnLayout("b", gives=2, least=6),
            ColumnLayout("c", drops=1),
        ],
        [["a" * 30, "b" * 60, "c" * 20]],
    )
    assert max(cell_len(line) for line in lines) == 80


def test_piped_output_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    stream = io.StringIO()
    table(Screen(stream), COLUMNS, [["a" * 90, "served", "1", "b" * 90]])
    assert "a" * 90 in stream.getvalue()
    assert "b" * 90 in stream.getvalue()


def test_prose_breaks_between_words() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    screen.width = 60
    paragraph(screen, "word " * 40, indent=2)
    lines = stream.getvalue().splitlines()
    assert all(len(line) <= 60 and not line.strip().startswith("ord") for line in lines)
