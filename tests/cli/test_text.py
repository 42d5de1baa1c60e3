"""What users, vendors and files put into names can't steer a terminal."""

from __future__ import annotations

import random

from headrace.cli.terminal import clean, clean_lines, joined, plural


def test_no_control_character_survives() -> None:
    for number in [*range(32), *range(127, 160), 0x202E, 0x2066, 0xFEFF, 0xDC80, 0x2028]:
        shown = clean(f"a{chr(number)}b")
        assert shown.isprintable(), hex(number)
        assert shown != "ab", "what was there must be seen"


def test_ordinary_text_stays_as_it_is() -> None:
    for text in ["Zürich", "データ", "a b", "✓", 'it\'s "quoted"', "[bold]x[/bold]", "100 %"]:
        assert clean(text) == text


def test_random_text_is_printable() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(2_000):
        shown = clean("".join(chr(rng.randrange(0x300)) for _ in range(10)))
        assert "\x1b" not in shown
        assert "\n" not in shown


def test_lines_are_kept_where_they_must_be() -> None:
    assert clean_lines("a\tb\nc\x1bd") == "a       b\nc\\x1bd"


def test_counts_read_as_words() -> None:
    assert plural(1, "day") == "1 day"
    assert plural(1234, "day") == "1,234 days"
    assert plural(2, "delivery", "deliveries") == "2 deliveries"
    assert joined(["a", "b", "c", "d", "e", "f"], names_max=3) == "a, b and 4 more"
