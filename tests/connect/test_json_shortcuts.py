"""JSON deliveries that are read by a shortcut until one record, far behind the sampled ones, shows
that it doesn't apply.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from connect_workbench import Outcome, Taken, Workbench

from headrace.connect.deliveries import Drift, TypeDrift, UnreadableFile
from headrace.connect.formats.json import Json
from headrace.connect.formats.json_arrays import NotLines, lines_of_array
from headrace.connect.raw_files import Opened, UnpackLimits
from headrace.lake import LakeColumn

ROWS = 6_000
LATE = 5_000
"""The record with the surprise: more than the 2,000 that are sampled come before."""
Layout = Callable[[list[str]], str]
LAYOUTS: dict[str, Layout] = {
    "a line each": lambda texts: "[" + ",\n".join(texts) + "]\n",
    "a line each, and brackets": lambda texts: "[\n  " + ",\n  ".join(texts) + "\n]",
    "CRLF": lambda texts: "[\r\n" + ",\r\n".join(texts) + "\r\n]\r\n",
    "one line": lambda texts: "[" + ", ".join(texts) + "]",
    "compact": lambda texts: "[" + ",".join(texts) + "]",
    "indented": lambda texts: json.dumps([json.loads(text) for text in texts], indent=2),
    "two separators": lambda texts: (
        "[" + ", ".join(texts[:9]) + ",\n" + ",\n".join(texts[9:]) + "]"
    ),
}


def record(number: int, who: str = "ann") -> dict[str, Any]:
    return {"id": number, "who": who, "day": "2024-01-02"}


def texts_with(late: str) -> list[str]:
    """Records as JSON, of which a late one is `late`."""
    texts = [json.dumps(record(number)) for number in range(ROWS)]
    texts[LATE] = late
    return texts


def as_lines(texts: list[str]) -> tuple[bytes, str]:
    return ("\n".join(texts) + "\n").encode(), "x.jsonl"


def as_array(texts: list[str]) -> tuple[bytes, str]:
    return LAYOUTS["a line each"](texts).encode(), "x.json"


def taken_late(bench: Workbench, form: Callable[..., tuple[bytes, str]], late: str) -> Outcome:
    """The outcome of a delivery with a late record, after one without it."""
    pinned = bench.schema(*form([json.dumps(record(number)) for number in range(3)]))
    return bench.take(*form(texts_with(late)), pinned)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "who",
    [
        "}, {",
        '"}, {"',
        "},{",
        '\\"},{"',
        "},\n{",
        "\\",
        '\\\\"',
        "{",
        "}]",
        "[1]",
        "123456789012345678",
    ],
)
def test_texts_that_look_like_separators(bench: Workbench, layout: str, who: str) -> None:
    """Would catch: an array that is cut inside of a text, or text that isn't its own any more."""
    rows = [
        record(0),
        record(1),
        record(2, who),
        record(3),
        record(4, who),
        *map(record, range(5, 20)),
    ]
    data = LAYOUTS[layout]([json.dumps(row) for row in rows]).encode()
    taken = bench.take(data, "x.json")
    assert isinstance(taken, Taken), taken
    assert taken.column("id") == list(range(20))
    assert taken.column("who") == [row["who"] for row in rows]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_which_arrays_become_lines(tmp_path: Path, layout: str) -> None:
    """Would catch: a shortcut that is never taken, or that is taken for indented records."""
    path = tmp_path / "x.json"
    texts = [json.dumps(record(number)) for number in range(30_000)]  # several chunks
    path.write_bytes(LAYOUTS[layout](texts).encode())
    if layout in ("indented", "two separators"):
        with pytest.raises(NotLines):
            list(lines_of_array(path))
        return
    lines = b"".join(lines_of_array(path)).decode().splitlines()
    assert lines == texts


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}, {"a": 2}',
        '[{"a": 1}, {"a": 2}]]',
        '[[{"a": 1}, {"a": 2}]]',
        '[{"a": 1}, {"a": {"b": 2}}]',
        '[{"a": 1}, {"a": 1}, 5 ]',
        '[{"a": "x}, {"a": "y"}]',
        '[{"a": 1},\n{"a": 1.23456789012345678}]',
        '[{"a": 9007199254740.993},\n{"a": 1}]',
        '[{"a": 9007199254740993e0},\n{"a": 1}]',
        '[{"a": 1},\n{"a":\n2}]',
        '[{"a": 1}]',
        "[]",
        "",
    ],
)
def test_arrays_that_do_not_become_lines(tmp_path: Path, text: str) -> None:
    """Would catch: lines whose records aren't those of the array."""
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(NotLines):
        list(lines_of_array(path))


@pytest.mark.parametrize("form", [as_lines, as_array])
def test_a_late_key_is_drift(bench: Workbench, form: Callable[..., tuple[bytes, str]]) -> None:
    """Would catch: a new key that nobody notices, as the first records don't have it."""
    outcome = taken_late(bench, form, '{"id": 1, "who": "x", "day": "2024-01-02", "new": 1}')
    assert isinstance(outcome, Drift)
    assert outcome.new == ("new",)


@pytest.mark.parametrize("form", [as_lines, as_array])
@pytest.mark.parametrize("value", ['{"a": 1}', '["a"]'])
def test_a_late_nested_value_is_drift(
    bench: Workbench, form: Callable[..., tuple[bytes, str]], value: str
) -> None:
    """Would catch: an object or a list that becomes text."""
    late = f'{{"id": 1, "who": {value}, "day": "2024-01-02"}}'
    assert isinstance(taken_late(bench, form, late), TypeDrift)


@pytest.mark.parametrize("form", [as_lines, as_array])
@pytest.mark.parametrize(
    ("late", "said"),
    [
        ('{"id": 1, "id": 2, "who": "x", "day": "2024-01-02"}', "key `id` comes twice"),
        ("5", "a plain value"),
        ("[]", "an array"),
        ('{"id": 1, "who": "{", "day" "2024-01-02"}', "no colon after a key"),
    ],
)
def test_a_late_error_has_its_line(
    bench: Workbench, form: Callable[..., tuple[bytes, str]], late: str, said: str
) -> None:
    """Would catch: records that are skipped, or the line of a copy instead of the delivery's."""
    outcome = taken_late(bench, form, late)
    assert isinstance(outcome, UnreadableFile)
    assert said in outcome.reason
    assert outcome.line == LATE + 1


@pytest.mark.parametrize("form", [as_lines, as_array])
def test_a_late_bad_value_has_its_number(
    bench: Workbench, form: Callable[..., tuple[bytes, str]]
) -> None:
    """Would catch: a date that is only like one, or a fraction that is rounded."""
    outcome = taken_late(bench, form, '{"id": 1.5, "who": "x", "day": "2024-02-30"}')
    assert isinstance(outcome, TypeDrift)
    assert [(column.value, column.rows) for column in outcome.columns] == [
        ("1.5", 1),
        ("2024-02-30", 1),
    ]
    assert str(LATE + 1) in outcome.reason


@pytest.mark.parametrize("form", [as_lines, as_array])
def test_a_late_missing_key_is_optional(
    bench: Workbench, form: Callable[..., tuple[bytes, str]]
) -> None:
    """Would catch: keys counted as always there, by the first records."""
    taken = bench.take(*form(texts_with('{"id": 1, "day": "2024-01-02"}')))
    assert isinstance(taken, Taken)
    assert taken.schema.optional == ("who",)
    assert len(taken.rows) == ROWS


def test_late_long_numbers_keep_their_digits(bench: Workbench) -> None:
    """Would catch: an array cut into lines whose last digits a double loses."""
    number = "0.12345678901234567891"
    texts = texts_with(f'{{"id": 1, "who": {number}, "day": "2024-01-02"}}')
    for layout in ("a line each", "one line", "indented"):
        taken = bench.take(
            LAYOUTS[layout](texts).replace("0.12345678901234568", number).encode(), "x.json"
        )
        assert isinstance(taken, Taken)
        assert taken.column("who")[LATE] == number


def test_a_first_value_after_many_nulls(bench: Workbench) -> None:
    """Would catch: a column called empty, or plain, by the first records alone."""
    texts = [json.dumps({"id": number, "who": None}) for number in range(ROWS)]
    texts[LATE] = '{"id": 1, "who": {"name": "x"}}'
    pinned = bench.schema(*as_array([json.dumps({"id": 1, "who": "x"})] * 2))
    outcome = bench.take(*as_array(texts), pinned)
    assert isinstance(outcome, TypeDrift)
    assert "who" in outcome.reason


def test_an_object_larger_than_the_usual_block(bench: Workbench) -> None:
    """Would catch: a limit for objects that suits only the lines before."""
    long = "x" * 5_000_000
    texts = texts_with(json.dumps(record(LATE, long)))
    for data, name in (as_lines(texts), as_array(texts)):
        taken = bench.take(data, name)
        assert isinstance(taken, Taken), taken
        assert len(taken.rows) == ROWS
        assert max(map(len, taken.column("who"))) == len(long)


def test_a_packed_array_keeps_its_lines_for_errors(bench: Workbench) -> None:
    """Would catch: an unpacked document that is gone when its error is explained, or that stays."""
    data, name = as_array([json.dumps(record(number)) for number in range(3)])
    pinned = bench.schema(gzip.compress(data), f"{name}.gz")
    data, name = as_array(texts_with('{"id": 1, "id": 2, "who": "x", "day": "2024-01-02"}'))
    outcome = bench.take(gzip.compress(data), f"{name}.gz", pinned)
    assert isinstance(outcome, UnreadableFile)
    assert outcome.line == LATE + 1


@pytest.mark.parametrize("form", [as_lines, as_array])
def test_keys_that_some_records_lack_have_types(
    bench: Workbench, form: Callable[..., tuple[bytes, str]]
) -> None:
    """Would catch: an optional number learnt as text, or an array that fails for a missing key."""
    taken = bench.take(*form(['{"id": 1, "n": 5, "day": "2024-01-02"}', '{"id": 2}']))
    assert isinstance(taken, Taken)
    assert taken.types() == {"id": "BIGINT", "n": "BIGINT", "day": "DATE"}
    assert taken.schema.optional == ("n", "day")


@pytest.mark.parametrize("layout", ["a line each", "one line", "indented"])
@pytest.mark.parametrize("number", ["9007199254740.993", "-9007199254740.993"])
@pytest.mark.parametrize("other", ["1", "0.1234567890123456789"])
def test_digits_do_not_depend_on_neighbours(
    bench: Workbench, layout: str, number: str, other: str
) -> None:
    """Would catch: 16 digits rounded by a double, unless another record has a longer number."""
    texts = [f'{{"a": {number}, "b": 1.5}}', f'{{"a": 2, "b": {other}}}']
    said = LAYOUTS[layout](texts) if layout != "indented" else "[\n" + ",\n ".join(texts) + "]"
    pinned = bench.schema(b'[{"a": "x", "b": "x"}, {"a": "y", "b": "y"}]', "x.json")
    columns = (LakeColumn("a", "DECIMAL(20,3)", 0), LakeColumn("b", "VARCHAR", 0))
    taken = bench.take(said.encode(), "x.json", msgspec.structs.replace(pinned, columns=columns))
    assert isinstance(taken, Taken), taken
    assert taken.column("a")[0] == Decimal(number)
    assert taken.column("b")[1] == other


def test_digits_before_an_exponent_are_not_rounded(bench: Workbench) -> None:
    """Would catch: 16 digits and an exponent, which a double rounds to another whole number."""
    pinned = bench.schema(b'[{"a": 1}, {"a": 2}]', "x.json")
    drift = bench.take(b'[{"a": 9007199254740993e0},\n{"a": 1}]', "x.json", pinned)
    assert isinstance(drift, TypeDrift)
    assert drift.columns[0].value == "9007199254740993e0"


@pytest.mark.parametrize("value", ["1700000000000000", "0.8444218515250481", '"2024.01.02.03.04"'])
def test_long_numbers_that_a_double_holds_stay_lines(tmp_path: Path, value: str) -> None:
    """Would catch: an array parsed by Python for its microseconds or its random fractions."""
    path = tmp_path / "x.json"
    path.write_text(f'[{{"a": {value}}},\n{{"a": {value}}}]', encoding="utf-8")
    assert b"".join(lines_of_array(path)).count(value.encode()) == 2


def test_an_array_whose_lines_are_too_large_is_read_as_it_is(tmp_path: Path) -> None:
    """Would catch: an array refused for a copy that only saves time."""
    path = tmp_path / "x.json"
    path.write_text('[{"a": 1},\n{"a": 2}]', encoding="utf-8")
    opened = Json().unfold(
        Opened(str(path), path.name), tmp_path / "tmp", UnpackLimits(bytes_max=5), None
    )
    assert opened.array
    assert opened.path == str(path)
