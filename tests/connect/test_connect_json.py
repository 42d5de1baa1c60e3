from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from connect_contract import ORDERS, Columns, TextContract
from connect_workbench import Outcome, Taken, Workbench

from headrace.connect.deliveries import CannotRead, Drift, SourceSchema, TypeDrift, UnreadableFile
from headrace.connect.formats import json_records
from headrace.model.texts import plain


def lines_of(columns: Columns) -> bytes:
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return (
        "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"
    ).encode()


class TestJsonArray(TextContract):
    """An array of objects under the ending `.json`: nothing is declared."""

    name = "orders.json"

    def encode(self, columns: Columns) -> bytes:
        return lines_of(columns)

    def test_no_rows(self, bench: Workbench) -> None:
        """Would catch: an empty array that fails, or that counts as one row."""
        taken = bench.take(b"[]\n", self.name, self.pinned(bench))
        assert isinstance(taken, Taken)
        assert taken.rows == []
        assert taken.names == tuple(ORDERS)

    def test_a_file_that_ends_inside_a_character(self, bench: Workbench) -> None:
        """Would catch: a truncated file whose last character is replaced."""
        data = self.encode({**ORDERS, "who": ["a", "b", "☃"]})
        outcome = bench.take(data[: data.index("☃".encode()) + 2], self.name, self.pinned(bench))
        assert isinstance(outcome, UnreadableFile)
        assert outcome.code == "delivery_encoding"

    def test_the_first_bad_value_has_its_line(self, bench: Workbench) -> None:
        """Would catch: the number of a record called a line; a document may be one line."""
        data = self.encode(
            {"id": list(range(30_000)), "amount": [1.5] * 30_000, "who": ["x"] * 30_000}
        )
        drift = bench.take(
            data.replace(b'"id": 20000', b'"id": "zzz"'), self.name, self.pinned(bench)
        )
        assert isinstance(drift, TypeDrift)
        assert (drift.columns[0].value, drift.columns[0].rows) == ("zzz", 1)
        assert "at record 20001" in drift.reason


def take(bench: Workbench, document: Any, pinned: Any = None, **said: Any) -> Any:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return bench.take(data, "x.json", pinned, options={"json": said})


ITEMS = {
    "meta": {"count": 2},
    "data": {"items": [{"id": 1, "at": "2024-01-02"}, {"id": 2, "at": "2024-01-03"}], "next": None},
    "z": [1],
}


def test_records_inside_a_document(bench: Workbench) -> None:
    """Would catch: the document taken for the one record, keys beside the records that end the
    reading.
    """
    for indent in (None, 2):
        taken = take(bench, json.dumps(ITEMS, indent=indent).encode(), records="$.data.items")
        assert isinstance(taken, Taken)
        assert taken.types() == {"id": "BIGINT", "at": "DATE"}
        assert len(taken.rows) == 2
    odd = {"b": [{"no": 1}], "a.b": {"it's": [{"id": 7}]}}
    taken = take(bench, odd, records='$["a.b"]["it\'s"]')
    assert isinstance(taken, Taken) and taken.rows == [(7,)]
    item = take(bench, ITEMS, records="$.meta")
    assert isinstance(item, Taken)
    assert item.rows == [(2,)]


@pytest.mark.parametrize(
    ("path", "word"),
    [("$.data.rows", "`rows`"), ("$.z", "plain value"), ("$.meta.count.x", "isn't an object")],
)
def test_records_that_are_not_there(bench: Workbench, path: str, word: str) -> None:
    """Would catch: 0 rows where an API answers with an error document."""
    outcome = take(bench, ITEMS, records=path)
    assert isinstance(outcome, UnreadableFile)
    assert word in outcome.reason


NESTED = [
    {
        "id": 1,
        "who": {"name": "ann", "age": 5},
        "tags": ["a", "b"],
        "lines": [{"sku": "x", "price": 1.5}, {"sku": "y"}],
    },
    {"id": 2, "who": {"name": "bob"}, "tags": [], "lines": None},
]


def test_nested_objects_are_structs_and_lists(bench: Workbench) -> None:
    """Would catch: nested values as text, a key that one record lacks, an empty list as NULL."""
    taken = take(bench, NESTED)
    assert isinstance(taken, Taken)
    assert (
        taken.types()
        == {
            "id": "BIGINT",
            "who": 'STRUCT("name" VARCHAR, age BIGINT)',
            "tags": "VARCHAR[]",
            "lines": "STRUCT(sku VARCHAR, price DOUBLE)[]",
        }
        or taken.types()["who"].replace('"', "") == "STRUCT(name VARCHAR, age BIGINT)"
    )
    lines = [{"sku": "x", "price": 1.5}, {"sku": "y", "price": None}]
    assert taken.rows == [
        (1, {"name": "ann", "age": 5}, ["a", "b"], lines),
        (2, {"name": "bob", "age": None}, [], None),
    ]
    again = take(bench, NESTED[1:], taken.schema)
    assert isinstance(again, Taken)
    assert again.rows == taken.rows[1:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"who": {"name": "x", "city": "y"}}, "column who.city is new"),
        ({"who": {"name": "x", "age": "old"}}, "column who.age is VARCHAR"),
        ({"who": {"name": "x", "age": 1.5}}, "column who.age is DOUBLE"),
        ({"who": "x"}, "column who is a plain value"),
        ({"who": {"age": 5}}, "column who.name is gone"),
        ({"who": {"nick": "x"}}, "column who.name is gone, who.nick is new"),
        ({"tags": {"a": 1}}, "column tags is an object"),
        ({"lines": [{"sku": "x", "n": 1}]}, "column lines[].n is new"),
    ],
)
def test_what_changes_inside_is_held(bench: Workbench, change: dict[str, Any], said: str) -> None:
    """Would catch: a new nested key dropped in silence, a value that becomes NULL or is rounded
    inside a struct."""
    schema = take(bench, NESTED).schema
    drift = take(bench, [{**NESTED[0], **change}], schema)
    assert isinstance(drift, TypeDrift)
    assert said in drift.reason
    lenient = msgspec.structs.replace(schema.format, lenient=("who", "tags", "lines"))
    assert isinstance(
        take(bench, [{**NESTED[0], **change}], msgspec.structs.replace(schema, format=lenient)),
        Taken,
    )


def test_flattened(bench: Workbench) -> None:
    """Would catch: nested values lost, keys that look like pointers, lists flattened into one
    value.
    """
    taken = take(
        bench,
        [{"id": 1, "a": {"b/c": {"d~": "x"}, "e": True}, "l": [1, 2]}, {"id": 2}],
        flatten=True,
    )
    assert isinstance(taken, Taken)
    assert taken.types() == {
        "id": "BIGINT",
        "a_b/c_d~": "VARCHAR",
        "a_e": "BOOLEAN",
        "l": "BIGINT[]",
    }
    assert taken.rows == [(1, "x", True, [1, 2]), (2, None, None, None)]
    fewer = take(bench, [{"id": 3}], taken.schema, flatten=True)
    assert isinstance(fewer, Taken)
    assert fewer.rows == [(3, None, None, None)]
    drift = take(bench, [{"id": 3, "a": {"new": 1}}], taken.schema, flatten=True)
    assert isinstance(drift, Drift)
    assert drift.new == ("a_new",)
    twice = take(bench, [{"a": {"b": 1}, "a_b": 2}], flatten=True)
    assert isinstance(twice, UnreadableFile)
    assert "a_b" in twice.reason


@pytest.mark.parametrize(
    "number", ["12345678901234567890", "0.12345678901234567890", "-9223372036854775809"]
)
def test_numbers_are_exact(bench: Workbench, number: str) -> None:
    """Would catch: a number that went through a double."""
    for document in (f'[{{"v": {number}}}]', f'{{"d": [{{"v": {number}}}]}}'):
        taken = take(bench, document.encode(), **({"records": "$.d"} if "d" in document else {}))
        assert isinstance(taken, Taken), number
        assert taken.rows == [(number,)]
    assert take(bench, b'[{"v": 0.1}, {"v": 0.30000000000000004}]').types() == {"v": "DOUBLE"}


def test_promised_decimals_are_exact(bench: Workbench) -> None:
    """Would catch: DECIMAL by way of DOUBLE."""
    from headrace.model import ContractColumn

    data = b'[{"v": 12345678901234567.891}]'
    taken = bench.take(data, "x.json", promised=(ContractColumn(name="v", type="DECIMAL(38,3)"),))
    assert isinstance(taken, Taken)
    assert taken.rows == [(Decimal("12345678901234567.891"),)]


BROKEN = {
    "cut": (b'[{"id": 1},\n{"id":', 2),
    "no comma": (b'[{"id": 1}\n{"id": 2}]', 2),
    "more after the end": (b'[{"id": 1}]\n[]', 2),
    "a plain value": (b'[{"id": 1},\n5]', 2),
    "an array": (b"[\n\n[1]]", 3),
    "not a number": (b'[{"id": NaN}]', 1),
    "a key twice": (b'[{"id": 1},\n{"id": 1, "id": 2}]', 2),
    "deep": (b'[{"id":' + b"[" * 100_000, 1),
    "single": (b"[{'id': 1}]", 1),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("inside", [False, True])
def test_broken_documents_are_told_with_their_line(
    bench: Workbench, case: str, inside: bool
) -> None:
    """Would catch: what could be read of a broken document taken for all of it."""
    data, line = BROKEN[case]
    data = b'{"d": ' + data + b"}" if inside else data
    for pinned in (None, take(bench, [{"id": 1}]).schema):
        outcome = take(bench, data, pinned, **({"records": "$.d"} if inside else {}))
        assert isinstance(outcome, UnreadableFile), outcome
        assert outcome.line == line or outcome.line is None


def test_a_value_that_does_not_fit_is_told_with_its_record(bench: Workbench) -> None:
    """Would catch: the number of a record called a line."""
    schema = take(bench, [{"id": 1}]).schema
    drift = take(bench, [{"id": 1}, {"id": "x"}], schema)
    assert isinstance(drift, TypeDrift)
    assert "'x' at record 2" in plain(drift.reason)


@pytest.mark.parametrize(("opening", "closing"), [('{"b":', "}"), ("[", "]")])
def test_what_is_nested_deeply_stays_json_or_is_rejected(
    bench: Workbench, opening: str, closing: str
) -> None:
    """Would catch: a worker that a file ends, or keeps for hours, and that is tried again; an error
    of ours told for a delivery that nobody can read."""

    def document(levels: int) -> bytes:
        return ('[{"id":1,"a":' + opening * levels + "1" + closing * levels + "}]").encode()

    for levels in (40, 300):
        first = bench.take(document(levels), "x.json")
        assert isinstance(first, Taken), first
        assert first.types()["a"] == "JSON"
    rejected = bench.take(document(100_000), "x.json")
    assert isinstance(rejected, UnreadableFile)
    assert rejected.reason == "nested too deeply"


def test_brackets_in_texts_are_no_levels(bench: Workbench) -> None:
    """Would catch: a list of thousands of objects, or a text full of brackets, taken for a deep
    one."""
    taken = bench.take(
        json.dumps(
            [{"id": 1, "a": ["{[" * 3000 + '"', *["x"] * 5], "l": [{"n": n} for n in range(3000)]}]
        ).encode(),
        "x.json",
    )
    assert isinstance(taken, Taken), taken


@pytest.mark.parametrize(
    "data", [b'[\r{\r"a": 1\r},\r{\r"a": "x"\r}\r]', b'[{"a":\r1},\n{"a":"x"}]']
)
def test_bad_values_among_lone_carriage_returns(bench: Workbench, data: bytes) -> None:
    """Would catch: a record taken apart at a CR, so that explaining its value crashes."""
    drift = bench.take(data, "x.json", bench.schema(b'[{"a":1},\n{"a":2}]', "x.json"))
    assert isinstance(drift, TypeDrift)
    assert drift.columns[0].value == "x"
    assert "record 2" in drift.reason


def test_learning_among_lone_carriage_returns(bench: Workbench) -> None:
    """Would catch: a first delivery that crashes instead of being explained."""
    data = b'[{"a":1e400,"b":1},\n\n{"a":null,"b":1.5\r}]'
    taken = bench.take(data, "x.json")
    assert isinstance(taken, Taken)
    assert taken.rows == [("1e400", 1.0), (None, 1.5)]


LONG, SHORT = "9007199254740993", "1.5"


@pytest.mark.parametrize("form", ["jsonl", "json", "flat", "list", "object"])
def test_a_long_whole_number_beside_a_fraction(bench: Workbench, form: str) -> None:
    """Would catch: 9007199254740993 published as …992, because 1.5 made its column a double; on
    the first day, and held on a later one.
    """
    inside = {
        "list": '{"a": {"b": [%s]}}',
        "object": '{"a": {"b": %s}}',
        "flat": '{"a": {"b": %s}}',
    }
    rows = [inside.get(form, '{"a": %s}') % number for number in (LONG, SHORT)]
    options = {"json": {"flatten": form == "flat"}}

    def take(some: list[str], pinned: SourceSchema | None = None) -> Outcome:
        if form == "jsonl":
            return bench.take("\n".join(some).encode(), "x.jsonl", pinned)
        data = f"[{', '.join(some)}]".encode()
        return bench.take(data, "x.json", pinned, options=options)

    both = take(rows)
    assert isinstance(both, Taken), both
    assert LONG in str(both.rows[0][0])
    assert "DOUBLE" not in both.schema.columns[0].type
    first = take(rows[1:])
    assert isinstance(first, Taken)
    assert "DOUBLE" in first.schema.columns[0].type
    assert isinstance(take(rows[:1], first.schema), TypeDrift)
    # a double holds these exactly
    assert isinstance(take([rows[0].replace(LONG, "900719925474099")], first.schema), Taken)


@pytest.mark.parametrize("number", ["1e400", "-1E-400", "4.95e-324"])
def test_numbers_beyond_a_double_stay_text(bench: Workbench, number: str) -> None:
    """Would catch: 1e-400 published as 0, and infinity inside of a list."""
    taken = bench.take(f'[{{"a": {number}, "b": [{number}]}}]'.encode(), "x.json")
    assert isinstance(taken, Taken)
    assert taken.rows == [(number, [number])]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": {"ID": 1}}', "the record has `id` itself"),
        ('{"a": {"n": 1},\n "a": {"n": 2}}', "line 2: key `a` comes twice in an object"),
        ('{"a": {"n": 1}, "b": 2}', "a plain value; each record must be an object"),
        ('[{"n": 1}]', "'{' expected"),
        ('{"a": {"n": 1}', "the file is cut off"),
    ],
)
def test_records_by_their_keys_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    """Would catch: a record's own value replaced by its key, or one of two records lost."""
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CannotRead, match=re.escape(reason)):
        list(json_records.records(tmp_path / "x.json", (), "id"))


def test_only_the_way_to_the_records_has_each_key_once(tmp_path: Path) -> None:
    """Would catch: a document refused for two keys beside its records; one of two lists lost."""
    path = tmp_path / "x.json"
    path.write_text('{"n": 1, "n": 2, "rows": [{"a": 1}]}')
    assert list(json_records.records(path, ["rows"])) == [(1, '{"a": 1}')]
    path.write_text('{"rows": [{"a": 1}], "rows": []}')
    with pytest.raises(CannotRead, match="key `rows` comes twice"):
        list(json_records.records(path, ["rows"]))
