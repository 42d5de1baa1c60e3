from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from connect_contract import Columns, ReadingContract
from connect_workbench import Outcome, Taken, Workbench
from samples import SAMPLES, needs_samples

from headrace.connect.deliveries import Drift, TypeDrift, UnreadableFile
from headrace.connect.raw_files import Opened, UnpackLimits
from headrace_legacy import xml

ROWS = {"xml": {"records": "//row"}}


class _Declared:
    """A bench that reads every delivery as its source declares it."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bench, name)

    def take(self, data: bytes, name: str, pinned: Any = None, **more: Any) -> Outcome:
        return self._bench.take(data, name, pinned, options=ROWS, **more)

    def schema(self, data: bytes, name: str) -> Any:
        taken = self.take(data, name)
        assert isinstance(taken, Taken), taken
        return taken.schema


class TestXml(ReadingContract):
    name = "orders.xml"

    @pytest.fixture
    def bench(self, bench: Workbench) -> Any:
        return _Declared(bench)

    def encode(self, columns: Columns) -> bytes:
        def cell(name: str, value: Any) -> str:
            return f"<{name}/>" if value is None else f"<{name}>{escape(str(value))}</{name}>"

        rows = [
            "".join(cell(name, value) for name, value in zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
        return ("<rows>\n" + "".join(f"<row>{row}</row>\n" for row in rows) + "</rows>\n").encode()

    @pytest.mark.parametrize("name", ["naïve", "select", "a.b", "a-b", "_x"])
    def test_hostile_names_of_columns(self, bench: Workbench, name: str) -> None:
        """Would catch: a column's name that changes a statement; XML itself allows few."""
        taken = self.take(
            bench,
            {name: [1, 2], "other": ["x", "y"]},
            self.pinned(bench, {name: [1, 2], "other": ["x", "y"]}),
        )
        assert isinstance(taken, Taken)
        assert taken.column(name) == [1, 2]

    def test_types_are_learnt_over_samples(self, bench: Workbench) -> None:
        """Would catch: a column of zeros on the first day that is pinned so that no
        other day fits."""
        other = bench.raw / "sample"
        other.write_bytes(self.encode({"id": [1], "rain": [0.5]}))
        taken = self.take(bench, {"id": [1], "rain": [0]}, samples=[(other, self.name)])
        assert isinstance(taken, Taken)
        assert taken.types()["rain"] == "DOUBLE"


def take(bench: Workbench, text: str | bytes, pinned: Any = None, **said: Any) -> Any:
    data = text if isinstance(text, bytes) else text.encode()
    return bench.take(data, "x.xml", pinned, options={"xml": {"records": "//row", **said}})


def test_attributes_and_children_are_columns(bench: Workbench) -> None:
    """Would catch: attributes lost, namespaces in names, ids that are numbers only by accident."""
    text = (
        '<f xmlns="urn:x" xmlns:p="urn:p"><row id="1"'
        ' p:code="007"><p:day>2024-01-02</p:day><v>1.50</v></row></f>'
    )
    taken = take(bench, text)
    assert isinstance(taken, Taken)
    assert taken.types() == {"id": "BIGINT", "code": "VARCHAR", "day": "DATE", "v": "DOUBLE"}


@pytest.mark.parametrize(
    ("records", "count"),
    [("//row", 3), ("/a/b/row", 2), ("a/b/row", 2), ("//c/row", 1), ("/row", 0)],
)
def test_paths(bench: Workbench, records: str, count: int) -> None:
    """Would catch: a path from the root that matches anywhere."""
    text = "<a><b><row><v>1</v></row><row><v>2</v></row></b><c><row><v>3</v></row></c></a>"
    taken = take(bench, text, take(bench, text).schema, records=records)
    assert isinstance(taken, Taken)
    assert len(taken.rows) == count


LATE = "<r><row><t>a</t></row><row><t>b</t><t>c</t></row><row/></r>"


def test_an_element_that_repeats_is_a_list_everywhere(bench: Workbench) -> None:
    """Would catch: records of several shapes in one file, and a pinned list that is text on the day
    with one of each.
    """
    taken = take(bench, LATE)
    assert isinstance(taken, Taken)
    assert taken.rows == [(["a"],), (["b", "c"],), (None,)]
    again = take(bench, "<r><row><t>x</t></row></r>", taken.schema)
    assert isinstance(again, Taken)
    assert again.rows == [(["x"],)]


def test_nested_elements(bench: Workbench) -> None:
    """Would catch: text beside attributes lost, elements that are nested only later."""
    text = (
        "<r><row><amt>5</amt></row><row><amt"
        ' ccy="EUR">7.5</amt><who><name>ann</name><age>3</age></who></row></r>'
    )
    taken = take(bench, text)
    assert isinstance(taken, Taken)
    assert taken.rows == [
        ({"text": "5", "ccy": None}, None),
        ({"text": "7.5", "ccy": "EUR"}, {"name": "ann", "age": "3"}),
    ]
    flat = take(bench, text, flatten=True)
    assert isinstance(flat, Taken)
    assert {name: set(flat.column(name)) for name in flat.names} == {
        "amt": {5.0, 7.5},
        "amt_ccy": {None, "EUR"},
        "who_name": {None, "ann"},
        "who_age": {None, 3},
    }
    assert isinstance(take(bench, text.replace("age", "size"), taken.schema), TypeDrift)
    assert isinstance(take(bench, text.replace("age", "size"), flat.schema, flatten=True), Drift)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    ("record", "name"),
    [
        ('<row id="1"><id>2</id></row>', "id"),
        ('<row id="1"><id>2</id><id>3</id></row>', "id"),
        ('<row><id a="1">2<a>3</a></id></row>', "a"),
        ("<row>free<text>1</text></row>", "text"),
        ('<row text="1">free<b>2</b></row>', "text"),
        ('<row xmlns:p="p" xmlns:q="q" p:id="1" q:id="2"/>', "id"),
        ('<row xmlns:p="p" xmlns:q="q"><p:id>1</p:id><q:id>2</q:id></row>', "id"),
        ('<row xmlns:p="p"><id>1</id><p:id>2</p:id><id>3</id></row>', "id"),
    ],
)
def test_two_values_of_one_name_are_refused(
    bench: Workbench, record: str, name: str, flat: bool
) -> None:
    """Would catch: the first value replaced by the second, or put into its list, in silence."""
    sound = "<row><other>0</other></row>"
    for number, text in ((1, f"<r>{record}</r>"), (2, f"<r>{sound}{record}{sound}</r>")):
        outcome = take(bench, text, flatten=flat)
        assert isinstance(outcome, UnreadableFile), outcome
        expected = f"record {number} has two values called `{name}`"
        assert outcome.reason.replace("id_a", "a").startswith(expected)


def test_a_path_and_an_element_of_one_name_are_refused(bench: Workbench) -> None:
    """Would catch: `a_b` lost beside the flattened path of `b` in `a`."""
    text = '<r><row><a_b>1</a_b><a><b>2</b></a></row><row><c d="1"/></row></r>'
    outcome = take(bench, text, flatten=True)
    assert isinstance(outcome, UnreadableFile) and "called `a_b`" in outcome.reason
    taken = take(bench, text)
    assert isinstance(taken, Taken)
    assert (taken.column("a_b")[0], taken.column("a")[0]) == (1, {"b": "2"})


def test_a_records_own_text_is_a_column(bench: Workbench) -> None:
    """Would catch: the text beside a record's elements lost where values are flattened, and records
    of nothing but text refused."""
    for flat in (False, True):
        taken = take(bench, "<r><row>1</row><row/></r>", flatten=flat)
        assert isinstance(taken, Taken) and taken.column("text") == [1, None]
        taken = take(bench, "<r><row>free<id>1</id></row></r>", flatten=flat)
        assert isinstance(taken, Taken)
        assert (taken.column("id"), taken.column("text")) == ([1], ["free"])


HOSTILE = {
    "billion laughs": (
        '<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><r><row><v>&b;</v></row></r>'
    ),
    "a file": '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r><row><v>&x;</v></row></r>',
    "a parameter entity": (
        '<?xml version="1.0"?>\n<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1/x">'
        " %p;]><r><row><v>1</v></row></r>"
    ),
    "an outer document type": (
        '<!DOCTYPE r SYSTEM "http://127.0.0.1/x.dtd"><r><row><v>1</v></row></r>'
    ),
    "after a long comment": (
        "<!--" + "x" * 20_000 + '--><!DOCTYPE r [<!ENTITY a "b">]><r><row><v>&a;</v></row></r>'
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_document_types_are_refused(bench: Workbench, case: str, encoding: str) -> None:
    """Would catch: a delivery that reads this machine's files, calls servers, or fills memory
    (TRUST B7)."""
    outcome = take(bench, HOSTILE[case].encode(encoding))
    assert isinstance(outcome, UnreadableFile)
    assert outcome.code == "delivery_doctype"


BROKEN = {
    "<r><row><v>1</v></row>": "the file is cut off",
    "<r><row><v><![CDATA[1</v></row></r>": "the file is cut off",
    "<r><row><v>1</w></row></r>": "an element ends with the tag of another",
    "<r><row><v>&nope;</v></row></r>": "an entity that XML doesn't define",
    "<r><row><v>&#1;</v></row></r>": "a character that XML doesn't have",
    "<r/><r/>": "more comes after the end",
    "text": "isn't well-formed XML",
    '<r><row v="1" v="2"/></r>': "an attribute twice",
    "<r><row><x:v>1</x:v></row></r>": "no `xmlns:` declares",
    "<r><row v=1/></r>": "may not stand there",
    "<r>" + "<a>" * 100_000: "nested more than",
    '<?xml version="1.0" encoding="nope"?><r/>': "the encoding that its first line names",
    '<?xml version="1.0" encoding="big5"?><r/>': "the encoding that its first line names",
    '\n<?xml version="1.0"?><r/>': "isn't at the very beginning",
    "<r><row><v>\x01</v></row></r>": "may not stand there",
}


@pytest.mark.parametrize("text", BROKEN)
def test_broken_documents(bench: Workbench, text: str) -> None:
    """Would catch: what could be read of a broken document taken for all of it, errors that
    escape, and words of the parser such as `mismatched tag` or `invalid token`.
    """
    for pinned in (None, take(bench, "<r><row><v>1</v></row></r>").schema):
        outcome = take(bench, text, pinned)
        assert isinstance(outcome, UnreadableFile) and BROKEN[text] in outcome.reason, outcome


def test_other_encodings_and_bytes_that_are_none(bench: Workbench) -> None:
    """Would catch: mojibake."""
    text = '<?xml version="1.0" encoding="{}"?><r><row><v>café</v></row></r>'
    for encoding in ("iso-8859-1", "utf-8", "windows-1252"):
        taken = take(bench, text.format(encoding).encode(encoding))
        assert isinstance(taken, Taken)
        assert taken.rows == [("café",)]
    assert isinstance(take(bench, text.format("utf-8").encode("latin-1")), UnreadableFile)


def test_utf16(bench: Workbench) -> None:
    """Would catch: a file that is turned into UTF-8 and still says that it is UTF-16."""
    taken = take(
        bench,
        '<?xml version="1.0" encoding="UTF-16"?><r><row><v>café</v></row></r>'.encode("utf-16"),
    )
    assert isinstance(taken, Taken)
    assert taken.rows == [("café",)]


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (b"<r><row/></r>", "row"),
        (b"<r><Pay><id>1</id></Pay><Pay><id>2</id></Pay></r>", "Pay"),
        (b'<a:r xmlns:a="u"><a:at>now</a:at><a:it n="1"/><a:it n="2"/></a:r>', "it"),
        (b"<r><o><l><n>1</n></l><l><n>2</n></l></o><o/><x/></r>", "o"),
        (b"<r><h><at>now</at></h><all><e><id>1</id></e><e><id>2</id></e></all></r>", "e"),
        (b"<r><one><id>1</id></one></r>", "one"),
        (b"<r><cut><id>1</id></cut><cut><i", "cut"),
        ('<r><Größe v="1"/><Größe v="2"/></r>'.encode("utf-16"), "Größe"),
        (b"<r><v>1</v><v>2</v></r>", "row"),
    ],
)
def test_a_source_that_names_no_records(bench: Workbench, document: bytes, name: str) -> None:
    """Would catch: a guess, or advice that doesn't fit the file."""
    outcome = bench.take(document, "x.xml")
    assert isinstance(outcome, UnreadableFile)
    assert outcome.code == "delivery_records"
    assert f'declare xml: {{records: "//{name}"}}' in outcome.reason


@pytest.mark.slow
def test_many_records_in_bounded_memory(bench: Workbench) -> None:
    """Would catch: the whole document kept as a tree: a hundred thousand records stay far below
    what they would take."""
    import tracemalloc

    data = "<r>" + "<row><a>1</a><b>two</b><c>3.5</c></row>\n" * 100_000 + "</r>"
    bench.deliver(data.encode(), "x.xml")
    tracemalloc.start()
    try:
        from headrace_legacy.xml import _records

        assert sum(1 for _ in _records(bench.root / "landing/x.xml", "//row")) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@needs_samples
def test_real_bank_statements(bench: Workbench) -> None:
    """Would catch: what only other writers' files have: namespaces, amounts with attributes,
    entries that repeat."""
    for file in sorted((SAMPLES / "camt").glob("*.xml")):
        for flatten in (False, True):
            taken = bench.take(
                file.read_bytes(),
                file.name,
                options={"xml": {"records": "//Ntry", "flatten": flatten}},
            )
            assert isinstance(taken, Taken), (file.name, taken)
            assert taken.rows


def test_records_of_a_tree_that_grows(bench: Workbench) -> None:
    """Would catch: records lost or repeated where a part of the file ends, or taken while open."""
    rows = "".join(f"<row><id>{n}</id><who>{'x' * (n % 700)}</who></row>" for n in range(3_000))
    long = f"<row><id>3000</id><who>{'y' * 1_000_000}</who></row>"
    document = f"<a><g>{rows}</g><other>1</other><g><h>{long}</h></g><row><id>3001</id></row></a>"
    taken = bench.take(document.encode(), "x.xml", options=ROWS)
    assert isinstance(taken, Taken)
    assert taken.column("id") == list(range(3_002))
    assert [len(who or "") for who in taken.column("who")] == [
        *(n % 700 for n in range(3_000)),
        1_000_000,
        0,
    ]


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("ends", [True, False])
def test_elements_nested_too_deeply(bench: Workbench, inside: bool, ends: bool) -> None:
    """Would catch: a recursion as deep as a hostile document."""
    deep = "<a>" * 5_000 + ("</a>" * 5_000 if ends else "")
    document = f"<rows><row>{deep}" if inside else f"<rows>{deep}<row>"
    document += "<id>1</id></row></rows>" if ends else ""
    outcome = bench.take(document.encode(), "x.xml", options=ROWS)
    assert isinstance(outcome, UnreadableFile)
    assert outcome.reason == "elements are nested more than 200 deep"


def test_records_just_below_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a record refused since only its next sibling, or the end, shows its own end."""
    monkeypatch.setattr(xml, "RECORD_BYTES_MAX", 2 * xml.CHUNK_BYTES)
    path = tmp_path / "x.xml"
    record = "<r><a>" + "x" * (2 * xml.CHUNK_BYTES - 20) + "</a></r>"
    blanks = " " * xml.CHUNK_BYTES
    path.write_text(f"<d><r><a>1</a></r>{record}{blanks}</d>", encoding="utf-8")
    opened = Opened(str(path), path.name, options={"xml": {"records": "//r"}})
    lines = xml.Xml().unfold(opened, tmp_path / "tmp", UnpackLimits(), None)
    assert Path(lines.path).read_bytes().count(b"\n") == 2


def test_a_document_without_records_is_not_called_empty(bench: Workbench) -> None:
    """Would catch: "the file is empty" for a path that leads to no element."""
    outcome = bench.take(
        b"<rows><row><a>1</a></row></rows>", "x.xml", options={"xml": {"records": "//r"}}
    )
    assert isinstance(outcome, UnreadableFile)
    assert outcome.code == "delivery_empty"
    assert "no record" in outcome.reason
