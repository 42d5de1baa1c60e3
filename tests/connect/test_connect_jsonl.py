from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from connect_contract import ORDERS, Columns, TextContract
from connect_workbench import Outcome, Taken, Workbench

from headrace.connect.deliveries import Drift, SourceSchema, TypeDrift, UnreadableFile
from headrace.connect.formats.json_text import without_trailing_commas
from headrace.connect.formats.jsonl import JsonLines
from headrace.connect.raw_files import Opened, UnpackLimits
from headrace.lake import LakeColumn
from headrace.lake.session import DuckDBSession


class TestJsonLines(TextContract):
    name = "orders.jsonl"

    def encode(self, columns: Columns) -> bytes:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)

    def test_no_rows(self, bench: Workbench) -> None:
        """A file without objects has no header to compare: 0 rows where the schema is known."""
        taken = bench.take(b"", self.name, self.pinned(bench))
        assert isinstance(taken, Taken)
        assert taken.rows == []
        assert taken.names == tuple(ORDERS)


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_nested_values_stay_json(bench: Workbench) -> None:
    """Would catch: objects that become columns of their own, or text that can't be parsed again."""
    taken = bench.take(
        lines(
            {"id": 1, "tags": ["a", "b"], "who": {"name": "x"}}, {"id": 2, "tags": [], "who": None}
        ),
        "x.jsonl",
    )
    assert isinstance(taken, Taken)
    assert taken.types() == {"id": "BIGINT", "tags": "JSON", "who": "JSON"}
    assert [json.loads(value) for value in taken.column("tags")] == [["a", "b"], []]


def test_a_single_key(bench: Workbench) -> None:
    """Would catch: the whole object as the value, which is what DuckDB gives for one column."""
    taken = bench.take(lines({"a": 1}, {"a": 2}), "x.jsonl")
    assert isinstance(taken, Taken)
    assert taken.rows == [(1,), (2,)]


def test_types_are_jsons(bench: Workbench) -> None:
    """Would catch: text of digits that becomes a number, a number too large that loses digits."""
    row = {
        "text": "5",
        "flag": True,
        "day": "2013-01-31",
        "at": "2013-01-31T10:00:00Z",
        "big": 12345678901234567890,
        "mixed": 1,
        "none": None,
    }
    taken = bench.take(lines(row, {**row, "mixed": "x"}), "x.jsonl")
    assert isinstance(taken, Taken)
    assert taken.types() == {
        "text": "VARCHAR",
        "flag": "BOOLEAN",
        "day": "DATE",
        "at": "TIMESTAMP WITH TIME ZONE",
        "big": "VARCHAR",
        "mixed": "VARCHAR",
        "none": "VARCHAR",
    }
    assert taken.column("big") == ["12345678901234567890"] * 2


def test_keys_that_some_objects_lack_may_be_missing_altogether(bench: Workbench) -> None:
    """Would catch: false alarms for a key that was never in each object; and its values in the
    wrong rows.
    """
    schema = bench.schema(lines({"id": 1, "note": "x"}, {"id": 2}), "x.jsonl")
    assert schema.optional == ("note",)
    taken = bench.take(lines({"id": 3}), "x.jsonl", schema)
    assert isinstance(taken, Taken)
    assert taken.rows == [(3, None)]
    assert isinstance(bench.take(lines({"note": "x"}), "x.jsonl", schema), Drift)


def test_a_new_key_in_the_last_object_is_seen(bench: Workbench) -> None:
    """Would catch: keys looked for in a sample only."""
    schema = bench.schema(lines({"id": 1}), "x.jsonl")
    drift = bench.take(
        lines(*({"id": n} for n in range(30_000)), {"id": 1, "late": 2}), "x.jsonl", schema
    )
    assert isinstance(drift, Drift)
    assert drift.new == ("late",)


def test_an_object_where_a_number_is_pinned(bench: Workbench) -> None:
    """Would catch: JSON text in a column of text, or NULL."""
    for first in (1, "text"):
        schema = bench.schema(lines({"id": first}), "x.jsonl")
        drift = bench.take(lines({"id": {"value": 1}}), "x.jsonl", schema)
        assert isinstance(drift, TypeDrift)
        assert drift.columns[0].column == "id"


BROKEN = {
    "half an object": (b'{"id": 1}\n{"id": \n', 2),
    "two objects on a line": (b'{"id": 1}\n{"id": 2} {"id": 3}\n', 2),
    "an array": (b'{"id": 1}\n[1, 2]\n', 2),
    "a number": (b'{"id": 1}\n\n5\n', 3),
    "null": (b'{"id": 1}\nnull\n', 2),
    "a document over lines": (b'{\n"id": 1}\n', 1),
    "an array of objects": (b'[{"id": 1}, {"id": 2}]\n', 1),
    "a key twice": (b'{"id": 1}\n{"id": 1, "id": 2}\n', 2),
    "single quotes": (b"{\"id\": 1}\n{'id': 2}\n", 2),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("pinned", [False, True])
def test_lines_that_are_no_objects(bench: Workbench, case: str, pinned: bool) -> None:
    """Would catch: lines dropped in silence, and DuckDB's line numbers, which are off by one."""
    data, line = BROKEN[case]
    outcome = bench.take(
        data, "x.jsonl", bench.schema(lines({"id": 1}), "x.jsonl") if pinned else None
    )
    assert isinstance(outcome, UnreadableFile)
    assert outcome.line == line


def pinned_for(bench: Workbench, name: str, row: object) -> SourceSchema:
    """The schema of files of that name."""
    return bench.schema(lines(row) if name == "x.jsonl" else json.dumps([row]).encode(), name)


@pytest.mark.parametrize("form", ["x.jsonl", "x.json", "indented", "records"])
@pytest.mark.parametrize("pinned", [False, True])
def test_half_a_character(bench: Workbench, form: str, pinned: bool) -> None:
    """Would catch: DuckDB's error, which names a byte and a line of a temporary file."""
    good, bad = '{"id": 1, "v": "a"}', '{"id": 1, "v": "\\ud83d"}'
    layouts: dict[str, Callable[[str, str], str]] = {
        "x.jsonl": lambda *records: "\n\n".join(records) + "\n",
        "x.json": lambda *records: "[\n\n".join(("", ",\n".join(records))) + "]",
        "indented": "[{}\n,\n{}]".format,
        "records": '{{"all": [{},\n\n{}]}}'.format,
    }
    name = form if "." in form else "x.json"
    more = {"options": {"json": {"records": "$.all"}}} if form == "records" else {}
    schema = pinned_for(bench, name, {"id": 1, "v": "a"}) if pinned else None
    outcome = bench.take(layouts[form](good, bad).encode(), name, schema, **more)
    assert isinstance(outcome, UnreadableFile)
    line = {"x.jsonl": 3, "x.json": 4, "indented": 3, "records": 3}[form]
    assert outcome.line == line, outcome
    assert outcome.reason == f"line {line}: \\ud83d is half of a character, without its other half"


@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
@pytest.mark.parametrize("pinned", [False, True])
def test_a_file_that_is_cut_off(bench: Workbench, name: str, pinned: bool) -> None:
    """Would catch: an incident about the file's format instead of its missing end."""
    text = (
        '{"id": 1, "v": "a"}\n{"id": 2, "v": "b' if name == "x.jsonl" else '[{"id": 1},\n{"id": 2'
    )
    schema = pinned_for(bench, name, {"id": 1, "v": "a"}) if pinned else None
    outcome = bench.take(text.encode(), name, schema)
    assert isinstance(outcome, UnreadableFile)
    assert (outcome.code, outcome.line) == ("delivery_truncated", 2)


@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
def test_a_nul_in_a_key(bench: Workbench, name: str) -> None:
    """Would catch: a statement that ends at the character, and its parser error."""
    text = '{"id": 1, "v\\u0000x": 1}'
    for schema in (None, pinned_for(bench, name, {"id": 1})):
        outcome = bench.take((text if name == "x.jsonl" else f"[{text}]").encode(), name, schema)
        assert isinstance(outcome, UnreadableFile)
        assert outcome.reason == r"the key `v\x00x` holds a NUL character"


@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
def test_a_whole_number_of_very_many_digits(bench: Workbench, name: str) -> None:
    """Would catch: Python's advice to a programmer, and a file that counts as unreadable."""
    digits = "7" * 5_000
    records = ['{"id": 1}', f'{{"id": {digits}}}']
    text = "\n".join(records) if name == "x.jsonl" else f"[{', '.join(records)}]"
    taken = bench.take(text.encode(), name)
    assert isinstance(taken, Taken)
    assert taken.column("id") == ["1", digits]
    drift = bench.take(text.encode(), name, pinned_for(bench, name, {"id": 1}))
    assert isinstance(drift, TypeDrift)
    assert drift.columns[0].value.startswith("77777")
    broken = bench.take(text.replace('"id": 1}', '"id": }').encode(), name)
    assert isinstance(broken, UnreadableFile) and broken.line == 1


@pytest.mark.parametrize("form", ["x.jsonl", "x.json", "records"])
def test_a_comma_after_the_last_value(bench: Workbench, form: str) -> None:
    """Would catch: a comma that is accepted until another value is bad, which isn't named then."""
    name = form if "." in form else "x.json"
    schema = pinned_for(bench, name, {"id": 1, "v": "a"})

    def take(third: str) -> Outcome:
        records = ['{"id": 1, "v": "x,]", }', '{"id": 2, "v": ",}"}', third]
        if form == "x.jsonl":
            return bench.take("\n".join(records).encode(), form, schema)
        array = "[" + ",\n".join(records) + "]"
        if form == "x.json":
            return bench.take(array.encode(), form, schema)
        options = {"json": {"records": "$.all"}}
        return bench.take(f'{{"all": {array},}}'.encode(), "x.json", schema, options=options)

    taken = take('{"id": 3, "v": "a",\t}')
    assert isinstance(taken, Taken)
    assert taken.rows == [(1, "x,]"), (2, ",}"), (3, "a")]
    drift = take('{"id": "three", "v": "a",}')
    assert isinstance(drift, TypeDrift)
    assert drift.columns[0].value == "three"
    broken = take('{"id": three, "v": "a",}')
    assert isinstance(broken, UnreadableFile) and broken.line == 3


def test_commas_where_what_was_read_of_a_document_ends() -> None:
    """Would catch: a comma of a text whose end isn't read yet, and one whose bracket isn't."""
    for text in ('{"a": "b, ]', '{"a": "b\\', '{"a": "\\", ]', '{"a": 1,'):
        assert without_trailing_commas(text) == text
    assert without_trailing_commas('{"a": [1, 2 , ] ,\n}') == '{"a": [1, 2   ]  \n}'


@pytest.mark.parametrize("keys", [{"": 1}, {"a": 1, "A": 2}, {"a": 1, "a ": 2}])
def test_keys_that_cannot_be_columns(bench: Workbench, keys: dict[str, int]) -> None:
    """Would catch: two keys in one column."""
    assert isinstance(bench.take(lines(keys), "x.jsonl"), UnreadableFile)


def test_deep_nesting(bench: Workbench) -> None:
    """Would catch: a stack that overflows, and takes the process with it."""
    schema = bench.schema(lines({"id": 1}), "x.jsonl")
    for depth in (100, 5_000, 200_000):
        outcome = bench.take(b'{"id":' + b"[" * depth + b"]" * depth + b"}\n", "x.jsonl", schema)
        assert isinstance(outcome, TypeDrift | UnreadableFile)
        outcome = bench.take(b'{"id":' + b'{"a":' * depth, "x.jsonl", schema)
        assert isinstance(outcome, UnreadableFile)


ADDRESSED = [
    {
        "id": 1,
        "to": {"name": "a", "zip": "1010", "geo": {"lat": 1.5, "lon": 2}},
        "items": [{"sku": "x", "n": 1}],
    },
    {
        "id": 2,
        "to": {"name": "b", "zip": "1020", "geo": {"lat": 1, "lon": 2}, "note": "ring"},
        "items": [],
    },
    {"id": 3, "to": None, "items": [{"sku": "y", "n": 2.5}]},
]


def _to(**fields: object) -> dict[str, object]:
    return {
        "id": 4,
        "to": {"name": "c", "zip": "1", "geo": {"lat": 3, "lon": 4}} | fields,
        "items": [{"sku": "z", "n": 3}],
    }


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            {"id": 4, "to": {"name": "c", "code": "1", "geo": {"lat": 3, "lon": 4}}, "items": []},
            "column to.zip is gone, to.code is new",
        ),
        ({"id": 4, "to": {"name": "c", "zip": "1"}, "items": []}, "column to.geo is gone"),
        (_to(geo={"lat": 3, "long": 4}), "column to.geo.lon is gone, to.geo.long is new"),
        (_to(zip=1010), "column to.zip is a number, it was text"),
        (_to(geo=[3, 4]), "column to.geo is an array, it was an object"),
        ({**_to(), "items": [{"sku": 5, "n": 1}]}, "column items[].sku is a number, it was text"),
        ({**_to(), "items": {"sku": "x"}}, "column items is an object, it was an array"),
    ],
)
def test_what_changes_inside_of_what_stays_json_is_held(
    bench: Workbench, row: dict[str, object], said: str
) -> None:
    """Would catch: a vendor's new name for a key inside, after which everybody who reads the old
    one gets nulls.
    """
    schema = bench.take(lines(*ADDRESSED), "x.jsonl").schema
    drift = bench.take(lines(row), "x.jsonl", schema)
    assert isinstance(drift, TypeDrift)
    assert drift.reason == said
    lenient = msgspec.structs.replace(
        schema, format=msgspec.structs.replace(schema.format, lenient=("to", "items"))
    )
    assert isinstance(bench.take(lines(row), "x.jsonl", lenient), Taken)


@pytest.mark.parametrize(
    "row",
    [
        _to(note="x"),
        _to(more={"a": 1}),
        _to(geo=None),
        {**_to(), "to": None},
        {**_to(), "items": []},
        {**_to(), "items": [{"sku": "x"}]},
    ],
)
def test_what_some_objects_lack_and_what_comes_inside_is_no_change(
    bench: Workbench, row: dict[str, object]
) -> None:
    """Would catch: a delivery that is held for a key that always was optional, for one that is new
    and loses nothing, or for nulls.
    """
    schema = bench.take(lines(*ADDRESSED), "x.jsonl").schema
    assert isinstance(bench.take(lines(row), "x.jsonl", schema), Taken)


def test_what_is_inside_is_learnt_over_samples(bench: Workbench) -> None:
    """Would catch: the second of a hundred files held, because the first one's objects all had a
    key that most lack.
    """
    other = bench.raw / "sample"
    other.write_bytes(lines(ADDRESSED[0], {"id": 5, "extra": [1]}))
    schema = bench.take(lines(ADDRESSED[1]), "x.jsonl", samples=[(other, "y.jsonl")]).schema
    assert {item.column: item.always for item in schema.inside} == {
        "to": (("name",), ("zip",), ("geo", "lat"), ("geo", "lon")),
        "items": (),
        "extra": (),
    }


@pytest.mark.long
def test_types_of_many_objects_are_learnt_in_little_memory(bench: Workbench) -> None:
    """Would catch: a first file of 50 MB that can't be read however much memory a machine has,
    because what learns its types holds something of each object."""
    rows = (
        b'{"id": %d, "name": "n%d", "amount": %d.5, "none": null}\n' % (n, n, n)
        for n in range(400_000)
    )
    bench.session.close()
    folder = bench.root / ".headrace/lake"
    bench.session = DuckDBSession(
        folder, readable=[bench.raw, bench.temporary], timezone="UTC", memory_max_bytes=256 * 2**20
    )
    taken = bench.take(b"".join(rows), "x.jsonl")
    assert isinstance(taken, Taken)
    assert taken.types() == {
        "id": "BIGINT",
        "name": "VARCHAR",
        "amount": "DOUBLE",
        "none": "VARCHAR",
    }
    assert len(taken.rows) == 400_000


@pytest.mark.parametrize(
    "key", ['say "hi"', "a*b", "a.b", "$", "ключ", "a b", "[0]", "it's", "\U0001f980"]
)
def test_types_of_keys_of_any_look(bench: Workbench, key: str) -> None:
    """Would catch: a key that is taken for a path, and has no type then."""
    taken = bench.take(lines({key: 1, "b": "x"}, {key: 2.5}), "x.jsonl")
    assert isinstance(taken, Taken)
    assert list(taken.types().values()) == ["DOUBLE", "VARCHAR"]


@pytest.mark.parametrize("kind", ["VARCHAR", "DECIMAL(20,19)"])
def test_long_numbers_keep_their_digits(bench: Workbench, kind: str) -> None:
    """Would catch: digits that a double loses, in a column that holds them all."""
    pinned = bench.schema(b'{"a": "x", "b": 1}\n', "x.jsonl")
    columns = (LakeColumn("a", kind, 0), LakeColumn("b", "BIGINT", 0))
    data = b'{"a": 0.1234567890123456789, "b": 1}\n\n{"a": 0.5, "b": 2}\n'
    taken = bench.take(data, "x.jsonl", msgspec.structs.replace(pinned, columns=columns))
    assert isinstance(taken, Taken), taken
    assert str(taken.column("a")[0]) == "0.1234567890123456789"
    assert taken.column("b") == [1, 2]
    learnt = bench.take(gzip.compress(data), "x.jsonl.gz")
    assert isinstance(learnt, Taken)
    assert learnt.column("a")[0] == "0.1234567890123456789"


def test_errors_beside_long_numbers_have_the_places_of_the_delivery(bench: Workbench) -> None:
    """Would catch: the line or the column of a copy, whose numbers are quoted."""
    pinned = bench.schema(b'{"a": "x", "b": 1}\n', "x.jsonl")
    start = b'{"a": "x", "b": 1}\n\n{"a": 0.1234567890123456789, "b": '
    drift = bench.take(start + b'"y"}\n', "x.jsonl", pinned)
    assert isinstance(drift, TypeDrift)
    assert "line 3" in drift.reason
    file = bench.take(start + b"y}\n", "x.jsonl", pinned)
    assert isinstance(file, UnreadableFile)
    assert "line 3, column 35" in file.reason


def test_files_that_a_double_holds_are_not_copied(tmp_path: Path) -> None:
    """Would catch: a copy of each file, as large as itself."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1700000000000000, "b": 0.8444218515250481}\n')
    opened = Opened(str(path), path.name)
    assert JsonLines().unfold(opened, tmp_path, UnpackLimits(), None) is opened


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"a": }', "line 1, column 7: a value is missing, or isn't JSON"),
        ("{'a': 1}", "line 1, column 2: a key is missing, or isn't in double quotes"),
        ('{"a": 1 "b": 2}', "line 1, column 9: no comma after a value"),
        ('{"a" 1}', "line 1, column 6: no colon after a key"),
        ('{"a": 1}{"a": 2}', "line 1, column 9: there is more after the value"),
        ('{"a": "\\x"}', "line 1, column 8: a backslash that begins no escape of JSON"),
        ('{"a": "\\u12"}', "line 1, column 9: `\\u` without the four digits of a character"),
        ('{"a": "x}', "line 1, column 7: a text without its closing quote"),
    ],
)
def test_invalid_json_is_described_in_words(bench: Workbench, line: str, told: str) -> None:
    """Would catch: `Expecting value` and other words of Python's reader about its own code."""
    outcome = bench.take(f"{line}\n".encode(), "x.jsonl")
    assert outcome == UnreadableFile(told, 1)
