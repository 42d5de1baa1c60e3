"""Sizes for display."""

from __future__ import annotations

import pytest

from headrace.model.fields import bytes_as_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (280_000_000, "280 MB"),
        (1_500_000_000, "1.5 GB"),
        (2_500_000_000_000, "2.5 TB"),
        (5 * 10**15, "5,000 TB"),
    ],
)
def test_a_size_has_the_unit_that_fits(size: int, text: str) -> None:
    """Catches 1,000 kB, and a size that no unit is large enough for."""
    assert bytes_as_text(size) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (1_023, "1,023 bytes"),
        (2**10, "1.0 KiB"),
        (128 * 2**20, "128 MiB"),
        (2**30 - 2**19, "1.0 GiB"),
        (2**30 - 2**19 - 1, "1,023 MiB"),
        (2 * 2**30, "2.0 GiB"),
    ],
)
def test_a_binary_size_has_the_unit_that_fits(size: int, text: str) -> None:
    """Catches 1,024 MiB, and a unit of thousands beside an amount of 1,024."""
    assert bytes_as_text(size, binary=True) == text
