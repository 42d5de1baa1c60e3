"""Text in another encoding than its source is pinned to, or declares."""

from __future__ import annotations

from pathlib import Path

import pytest
from connect_workbench import Outcome, Taken, Workbench
from legacy_formats import NEEDS_LEGACY

from headrace.connect.deliveries import Drift, UnreadableFile
from headrace.connect.text_files import legacy_encoding, other_readings

ROWS = "id,who\n1,Zoë\n2,Bo\n"
FIXED = {
    "columns": [{"name": "id", "width": 1, "type": "bigint"}, {"name": "who", "width": 3}],
    "encoding": "latin-1",
}


def both(
    bench: Workbench, was: bytes, now: bytes, name: str, **said: object
) -> tuple[Outcome, Outcome]:
    """A first delivery, and what the next is against it."""
    first = bench.take(was, name, options=said)
    assert isinstance(first, Taken), first
    return first, bench.take(now, name, first.schema, options=said)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf8_where_another_encoding_is_declared(bench: Workbench, mark: str) -> None:
    """Would catch: `ZoÃ«` published, because each byte of UTF-8 is a character of Windows-1252 too;
    a file of plain letters, which is the same in both, told as drift."""
    said = {"encoding": "cp1252"}
    first, drift = both(bench, ROWS.encode("cp1252"), (mark + ROWS).encode(), "x.csv", csv=said)
    assert isinstance(first, Taken)
    assert first.column("who") == ["Zoë", "Bo"]
    assert isinstance(drift, Drift)
    assert drift.detail == "the encoding is UTF-8 instead of CP1252"
    taken = bench.take((mark + ROWS).encode(), "x.csv", drift.reads_as, options={"csv": said})
    assert isinstance(taken, Taken)
    assert taken.column("who") == ["Zoë", "Bo"]
    assert isinstance(
        bench.take(b"id,who\n3,Cy\n", "x.csv", first.schema, options={"csv": said}), Taken
    )


@NEEDS_LEGACY
def test_fixed_width_in_another_encoding(bench: Workbench) -> None:
    """Would catch: places that move by one for each character of two bytes, or that are read out of
    UTF-16 byte by byte."""
    lines = "1Zoë\n2Bo \n"
    for encoding in ("utf-8", "utf-16"):
        first, drift = both(
            bench, lines.encode("latin-1"), lines.encode(encoding), "x.txt", fixed_width=FIXED
        )
        assert isinstance(first, Taken)
        assert isinstance(drift, Drift), drift
        assert drift.detail == f"the encoding is {encoding.upper()} instead of LATIN-1"
        taken = bench.take(
            lines.encode(encoding), "x.txt", drift.reads_as, options={"fixed_width": FIXED}
        )
        assert isinstance(taken, Taken), taken
        assert taken.rows == first.rows == [(1, "Zoë"), (2, "Bo")]


@NEEDS_LEGACY
def test_records_of_bytes_show_no_encoding(bench: Workbench) -> None:
    """Would catch: a delivery held as drift because its EBCDIC bytes are words in UTF-8, too."""
    said = {"columns": [{"name": "who", "width": 4}], "encoding": "cp037", "record": 4}
    _, taken = both(
        bench, "Bo  ".encode("cp037"), "Cz  ".encode("cp037"), "x.dat", fixed_width=said
    )
    assert isinstance(taken, Taken), taken
    assert taken.rows == [("Cz",)]


def test_a_declaration_that_changes_is_no_drift(bench: Workbench) -> None:
    """Would catch: a source that declares its encoding after the first delivery, and has a drift
    every day from then on."""
    first = bench.take(b"id,who\n1,Bo\n", "x.csv")
    assert isinstance(first, Taken)
    taken = bench.take(
        ROWS.encode("cp1252"), "x.csv", first.schema, options={"csv": {"encoding": "cp1252"}}
    )
    assert isinstance(taken, Taken)
    assert taken.column("who") == ["Zoë", "Bo"]


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (ROWS.encode("cp1252"), "cp1252"),
        ("«\xa0créée à Größe\xa0»".encode("cp1252"), "cp1252"),
        (ROWS.encode("utf-16-le"), "utf-16-le"),
        (ROWS.encode("utf-16-be"), "utf-16-be"),
        (ROWS.encode("utf-32-le"), "utf-32-le"),
        (ROWS.encode("utf-32-be"), "utf-32-be"),
        (ROWS.encode("utf-32"), "utf-32"),
        ("id,who\n1,日本\n".encode("shift-jis"), None),
        ("id,who\n1,Привет\n".encode("cp1251"), None),
        (bytes(range(256)), None),
        ("id,who\n1,café\n".encode() + "2,Zoë\n".encode("cp1252"), None),
        ("«oui»".encode("mac-roman"), None),
    ],
)
def test_what_a_file_makes_sense_in(tmp_path: Path, data: bytes, encoding: str | None) -> None:
    """Would catch: binary data or an alphabet that we don't know read as letters of western Europe;
    UTF-16 without a mark or UTF-32 given up; lines in UTF-8 among others that are read as `cafÃ©`.
    """
    (tmp_path / "x").write_bytes(data)
    assert legacy_encoding(tmp_path / "x") == encoding


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize("pinned", [False, True])
def test_two_encodings_in_one_file(bench: Workbench, encoding: str, pinned: bool) -> None:
    """Would catch: `cafÃ©` published, because the source declares an encoding that has
    all bytes."""
    said = {"csv": {"encoding": encoding}}
    schema = None
    if pinned:
        first = bench.take(ROWS.encode(encoding), "x.csv", options=said)
        assert isinstance(first, Taken)
        schema = first.schema
    data = "id,who\n1,Zoë\n".encode(encoding) + "2,Bo\n3,café\n".encode()
    outcome = bench.take(data, "x.csv", schema, options=said)
    assert isinstance(outcome, UnreadableFile), outcome
    assert (outcome.line, outcome.code) == (4, "delivery_encoding")
    assert (
        outcome.reason
        == f"line 4 is UTF-8, other lines are {encoding}: read in one encoding, one of them would"
        " be wrong"
    )


SINGLE_BYTE = (
    *("cp1252", "latin-1", "cp1250", "iso-8859-2", "iso-8859-15", "cp1254", "cp1257"),
    *("cp437", "cp850", "mac-roman"),
)
WORDS = (
    *("Zoé", "Zoë", "Müller", "Größe", "Straße", "café", "élan", "très", "Łódź", "Paweł", "Özil"),
    *("Über", "señor", "garçon", "Čapek", "İstanbul", "şeker", "€", "don’t", "«oui»", "°C", "£5"),
    *("smörgåsbord", "Åse", "Győr", "Kõrvits", "Rīga", "Ž", "João", "Dvořák", "ÉCOLE", "Ægir"),
    *("Þór", "naïve", "½ zł"),
)


@pytest.mark.parametrize("word", WORDS)
def test_no_other_encoding_is_taken_for_windows_1252(tmp_path: Path, word: str) -> None:
    """Would catch: `Pawe³`, `caf‚` and `ZoŽ` published with a warning."""
    path = tmp_path / "x"
    for encoding in SINGLE_BYTE:
        try:
            path.write_bytes(f"id,who\n1,{word}\n".encode(encoding))
        except UnicodeEncodeError:
            continue
        if legacy_encoding(path) is not None and not other_readings(path):
            assert path.read_bytes().decode("cp1252") == f"id,who\n1,{word}\n", encoding


@pytest.mark.parametrize("word", ["Zoé", "Müller", "Größe", "Straße", "Über", "ÉCOLE", "20 °C"])
def test_what_all_encodings_read_alike_is_certain(tmp_path: Path, word: str) -> None:
    (tmp_path / "x").write_bytes(word.encode("cp1252"))
    assert not other_readings(tmp_path / "x")


def test_where_readings_differ(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes("id,who\n1,Müller\n2,très\n".encode("cp1252"))
    readings = "byte 0xE8 in line 3 is `è` in cp1252 or `č` in cp1250"
    assert other_readings(tmp_path / "x") == readings


RUSSIAN = "id,имя,город\n1,Анна Каренина,Москва\n2,Борис Годунов,Тверь\n"
GREEK = "id,όνομα,πόλη\n1,Άννα Παπαδοπούλου,Αθήνα\n2,Γιώργος,Πάτρα\n"
FOREIGN = {
    **dict.fromkeys(("cp1251", "koi8-r", "cp866", "iso-8859-5"), RUSSIAN),
    **dict.fromkeys(("cp1253", "iso-8859-7"), GREEK),
}


@pytest.mark.parametrize("encoding", FOREIGN)
def test_cyrillic_and_greek_letters(bench: Workbench, encoding: str) -> None:
    """Would catch: a repair that publishes `Ìîñêâà` for `Москва`, or letters of a wrong
    declaration.
    """
    text = FOREIGN[encoding]
    data, names = text.encode(encoding), tuple(text.split("\n", 1)[0].split(","))
    refused = bench.take(data, "x.csv")
    assert isinstance(refused, UnreadableFile)
    assert f"such as csv: {{encoding: {encoding}}}" in refused.reason
    assert f"in {encoding} it would be `{names[1][0]}`" in refused.reason
    said = {"encoding": encoding}
    taken = bench.take(data, "x.csv", options={"csv": said})
    assert isinstance(taken, Taken), taken
    assert taken.names == names
    assert [",".join(map(str, row)) for row in taken.rows] == text.splitlines()[1:]
    capitals = bench.take(text.upper().encode(encoding), "x.csv", options={"csv": said})
    assert isinstance(capitals, Taken), capitals
    for other in {"cp1252", "cp1250", *FOREIGN} - {encoding}:
        wrong = bench.take(data, "x.csv", options={"csv": {"encoding": other}})
        if FOREIGN.get(other) != GREEK or text != GREEK:  # they differ in two letters
            assert isinstance(wrong, UnreadableFile), (other, wrong)
            assert f"the file is in {encoding}, but {other} is declared" in wrong.reason
    first, drift = both(bench, data, text.encode(), "x.csv", csv=said)
    assert isinstance(drift, Drift), drift
    assert drift.detail == f"the encoding is UTF-8 instead of {encoding.upper()}"
    read = bench.take(text.encode(), "x.csv", options={"csv": said})
    assert isinstance(read, Taken), read
    assert read.rows == first.rows


@pytest.mark.parametrize(
    "text",
    [
        "id,who\n1,Zoë\n2,ÀÉÈ\n",
        "a,b\n1,——————————————————————\n",
        "a,b\n1,Größe süß über Übermut\n",
    ],
)
def test_latin_letters_in_a_row_are_no_cyrillic_ones(bench: Workbench, text: str) -> None:
    """Would catch: a good file in Windows-1252 that is refused for the letters of others."""
    taken = bench.take(text.encode("cp1252"), "x.csv", options={"csv": {"encoding": "cp1252"}})
    assert isinstance(taken, Taken), taken
    assert [",".join(map(str, row)) for row in taken.rows] == text.splitlines()[1:]
