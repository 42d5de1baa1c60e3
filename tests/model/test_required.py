"""Which partitions are required, and the inverse (SEMANTICS §2)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import cases

from headrace.model import Grain, InputMode, InputSpec, PartitionSpec, Place, UsageError, key_at
from headrace.model.partitions import dependents, join, required, split

HERE = Place(file="assets/a.sql")
NEW_YORK = "America/New_York"


def _spec(words: str) -> tuple[PartitionSpec, str]:
    grain, _, zone = words.partition("@")
    return (
        PartitionSpec() if grain == "*" else PartitionSpec(grain=Grain(grain))
    ), zone or NEW_YORK


def _options(words: list[str]) -> InputSpec:
    lookback = next(
        (word.partition("=")[2] for word in words if word.startswith("lookback=")), None
    )
    mode = next((InputMode(word) for word in words if word in tuple(InputMode)), InputMode.REQUIRED)
    return InputSpec(node="x", mode=mode, lookback=lookback, place=HERE)


def _shown(keys: tuple[str, ...] | None, nothing: str) -> str:
    if keys is None:
        return nothing
    return keys[0] if len(keys) == 1 else f"{keys[0]} … {keys[-1]} ({len(keys)})"


def _read(case: str) -> tuple[list[str], list[str], str]:
    left, _, expected = case.rpartition(" = ")
    first, second = left.split("|")
    return first.split(), second.split(), expected.strip()


@pytest.mark.parametrize("case", cases("required"))
def test_what_a_partition_requires(case: str) -> None:
    """A body that sees a partition too many or too few computes something else than was
    promised.
    """
    (out, key), (given_, *options), expected = _read(case)
    output, output_zone = _spec(out)
    source, zone = _spec(given_)
    assert (
        _shown(
            required(output, output_zone, key, source, zone, _options(options)).keys, "reference"
        )
        == expected
    )


@pytest.mark.parametrize("case", cases("dependents"))
def test_what_requires_a_partition(case: str) -> None:
    """A dependent that isn't found stays stale and looks fresh."""
    (given_, key), (out, *options), expected = _read(case)
    output, output_zone = _spec(out)
    source, zone = _spec(given_)
    assert (
        _shown(
            dependents(key, output, output_zone, source, zone, _options(options)), "nothing known"
        )
        == expected
    )


@given(
    st.datetimes(datetime(2009, 1, 1), datetime(2014, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from([Grain.HOUR, Grain.DAY, Grain.WEEK, Grain.MONTH]),
    st.sampled_from([Grain.HOUR, Grain.DAY, Grain.WEEK, Grain.MONTH]),
    st.sampled_from(
        [NEW_YORK, "Europe/Berlin", "Pacific/Apia", "Australia/Lord_Howe", "America/St_Johns"]
    ),
    st.sampled_from([NEW_YORK, "UTC"]),
    st.sampled_from([None, "1d", "36h", "1w"]),
    st.sampled_from([InputMode.REQUIRED, InputMode.PREVIOUS, InputMode.WITHIN]),
)
@settings(max_examples=120, deadline=None)
def test_the_two_directions_agree(
    instant: datetime,
    out: Grain,
    source: Grain,
    zone: str,
    other: str,
    lookback: str | None,
    mode: InputMode,
) -> None:
    """If P requires Q, then Q's dependents hold P, and the other way round: else restating Q would
    miss P."""
    spec = InputSpec(node="x", mode=mode, lookback=lookback, place=HERE)
    output_spec, input_spec = PartitionSpec(grain=out), PartitionSpec(grain=source)
    key = key_at(instant, out, zone)
    needed = required(output_spec, zone, key, input_spec, other, spec).keys
    assert needed
    for item in (needed[0], needed[-1]):
        result = dependents(item, output_spec, zone, input_spec, other, spec)
        assert result is not None
        assert key in result
        for dependent in (result[0], result[-1]):
            assert item in (
                required(output_spec, zone, dependent, input_spec, other, spec).keys or ()
            )


def test_keys_of_data_are_kept_as_they_are() -> None:
    """A key is data: slashes, quotes and blanks in it mean nothing."""
    both = PartitionSpec(grain=Grain.DAY, key="region")
    key = join("2013-02-11", "E/M'EA ..")
    assert split(key, both) == ("2013-02-11", "E/M'EA ..")
    spec = InputSpec(node="x", place=HERE)
    assert required(both, "UTC", key, both, "UTC", spec).keys == (key,)
    assert required(both, "UTC", key, PartitionSpec(grain=Grain.DAY), "UTC", spec).keys == (
        "2013-02-11",
    )
    listed = PartitionSpec(grain=Grain.DAY, key="region", values=("a", "b"))
    assert required(
        PartitionSpec(grain=Grain.DAY), "UTC", "2013-02-11", listed, "UTC", spec
    ).keys == ("2013-02-11/a", "2013-02-11/b")
    with pytest.raises(UsageError):
        split("2013-02-11", both)
