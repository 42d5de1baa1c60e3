"""SAS, SPSS and Stata: data, labels and what is missing."""

from __future__ import annotations

import random
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyreadstat
import pytest
from connect_workbench import Workbench, rows_of

from headrace.connect.deliveries import UnreadableFile
from headrace.model.texts import plain

AT = datetime(2024, 1, 2, 3, 4, 5)  # noqa: DTZ001


def spss(tmp_path: Path) -> bytes:
    path = tmp_path / "a.sav"
    frame = pd.DataFrame(
        {
            "q": [1.0, 99.0, None, 2.5],
            "s": ["a", "", "ü", "z" * 300],
            "d": [date(2024, 2, 29), date(1582, 10, 15), None, date(2300, 1, 1)],
            "t": [AT, AT, None, datetime(1700, 1, 1)],  # noqa: DTZ001
        },
    )
    frame["d"] = frame["d"].astype(object)
    labels: Any = {"q": {1.0: "yes", 99.0: "refused"}}
    pyreadstat.write_sav(
        frame,
        path,
        variable_value_labels=labels,
        missing_ranges={"q": [99]},
        column_labels={"q": "Question"},
    )
    return path.read_bytes()


def stata(tmp_path: Path) -> bytes:
    path = tmp_path / "a.dta"
    frame = pd.DataFrame({"x": [1.5, "a", None], "i": [1, 2, 3]}, dtype=object)
    frame["i"] = frame["i"].astype("int32")
    labels: Any = {"i": {1: "one"}}
    pyreadstat.write_dta(
        frame, path, missing_user_values={"x": ["a"]}, variable_value_labels=labels
    )
    return path.read_bytes()


def take(bench: Workbench, content: bytes, name: str, **options: Any) -> Any:
    kind = {".sav": "spss", ".dta": "stata", ".xpt": "sas"}[name[1:]]
    return bench.take(content, name, options={kind: options})


def test_data_of_spss(bench: Workbench, tmp_path: Path) -> None:
    """Would catch: 99 for "refused" that goes into a mean, or looks as if nobody had asked."""
    taken = take(bench, spss(tmp_path), "a.sav")
    found = rows_of(taken)
    assert [(row["q"], row["user_missing"]) for row in found] == [
        (1.0, None),
        (None, ["q=99"]),
        (None, None),
        (2.5, None),
    ]
    assert [row["s"] for row in found] == ["a", "", "ü", "z" * 300]
    assert [row["d"] for row in found][:2] == [date(2024, 2, 29), date(1582, 10, 15)]
    assert (found[0]["t"], found[3]["t"]) == (AT, datetime(1700, 1, 1))  # noqa: DTZ001
    assert taken.types()["d"] == "DATE"


def test_labels_and_variables(bench: Workbench, tmp_path: Path) -> None:
    content = spss(tmp_path)
    assert [
        tuple(row.values()) for row in rows_of(take(bench, content, "a.sav", rows="labels"))
    ] == [
        ("q", "1", "yes", False),
        ("q", "99", "refused", True),
    ]
    first = rows_of(take(bench, content, "a.sav", rows="variables"))[0]
    assert (first["variable"], first["label"], first["kind"]) == ("q", "Question", "double")


def test_letters_of_stata_and_whole_numbers(bench: Workbench, tmp_path: Path) -> None:
    taken = take(bench, stata(tmp_path), "a.dta")
    assert [(row["x"], row["i"], row["user_missing"]) for row in rows_of(taken)] == [
        (1.5, 1, None),
        (None, 2, ["x=a"]),
        (None, 3, None),
    ]
    assert taken.types()["i"] == "BIGINT"


def test_transport_files(bench: Workbench, tmp_path: Path) -> None:
    """Would catch: blank rows at the end of a file of texts, which are lost without a word."""
    path = tmp_path / "a.xpt"
    pyreadstat.write_xport(pd.DataFrame({"x": [0.0, 1.5], "s": ["a", ""]}), path)
    assert [row["x"] for row in rows_of(take(bench, path.read_bytes(), "a.xpt"))] == [0.0, 1.5]
    pyreadstat.write_xport(pd.DataFrame({"s": ["a", "", ""]}), path)
    refused = take(bench, path.read_bytes(), "a.xpt")
    assert "can't tell how many rows it has" in plain(refused.reason)


def test_what_cant_be_read_is_refused(bench: Workbench, tmp_path: Path) -> None:
    """Would catch: a truncated file that is published as far as it goes, and a crash."""
    chance = random.Random("statistics")
    for content, name in ((spss(tmp_path), "a.sav"), (stata(tmp_path), "a.dta")):
        whole = len(rows_of(take(bench, content, name)))
        for _ in range(20):
            cut = content[: chance.randrange(1, len(content) - 20)]
            outcome = take(bench, cut, name)
            assert isinstance(outcome, UnreadableFile) or len(rows_of(outcome)) == whole, outcome
        assert isinstance(take(bench, b"no such file", name), UnreadableFile)


@pytest.mark.parametrize("name", ["a.sav", "a.dta"])
def test_mutated_files_are_read_or_refused(bench: Workbench, tmp_path: Path, name: str) -> None:
    chance = random.Random(name)
    content = spss(tmp_path) if name == "a.sav" else stata(tmp_path)
    for _ in range(40):
        data = bytearray(content)
        for _ in range(chance.choice((1, 3))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        assert take(bench, bytes(data), name) is not None


def transport(tmp_path: Path, rows: int = 3, version: int = 5) -> bytes:
    path = tmp_path / "a.xpt"
    frame = pd.DataFrame({"X": [1.5] * (rows - 1) + [None], "S": ["abcdefgh"] * rows})
    pyreadstat.write_xport(frame, path, file_format_version=version)
    return path.read_bytes()


@pytest.mark.parametrize("version", [5, 8])
def test_only_whole_transport_files_with_one_data_set(
    bench: Workbench, tmp_path: Path, version: int
) -> None:
    """Would catch: the headers of a second data set as rows, and a file that is cut off."""
    content = transport(tmp_path, 25, version)
    assert len(rows_of(take(bench, content, "a.xpt"))) == 25
    refused = take(bench, content + content[240:], "a.xpt")
    assert "several data sets" in plain(refused.reason)
    for size in (100, 79, 1):
        assert take(bench, content[:-size], "a.xpt").code == "delivery_truncated"
    wide = pd.DataFrame({"X": [1.0] * 9, "S": ["z" * 190] * 9})
    pyreadstat.write_xport(wide, tmp_path / "a.xpt", file_format_version=version)
    cut = (tmp_path / "a.xpt").read_bytes()[:-160]
    assert take(bench, cut, "a.xpt").code == "delivery_truncated"


def test_a_transport_file_of_version_8_states_its_rows(bench: Workbench, tmp_path: Path) -> None:
    content = transport(tmp_path, 25, 8)
    refused = take(bench, content[:-80], "a.xpt")
    assert "its header states 25 rows, and it has 20" in plain(refused.reason)


def test_letters_of_transport_files(bench: Workbench, tmp_path: Path) -> None:
    """Would catch: a value that is missing for a reason, as if nobody had entered one."""
    content = transport(tmp_path)
    for sign, missing in ((b".", None), (b"A", ["X=A"]), (b"_", ["X=_"])):
        lettered = content.replace(b"." + bytes(7) + b"abc", sign + bytes(7) + b"abc")
        last = rows_of(take(bench, lettered, "a.xpt"))[-1]
        assert (last["X"], last["user_missing"]) == (None, missing)


def test_formats_of_sas_that_show_a_part_of_a_time(bench: Workbench, tmp_path: Path) -> None:
    path = tmp_path / "a.xpt"
    frame = pd.DataFrame({"D": [2_024_784_000.0], "Y": [23_435.0]})
    pyreadstat.write_xport(frame, path, variable_format={"D": "DTDATE9", "Y": "YEAR4"})
    (row,) = rows_of(take(bench, path.read_bytes(), "a.xpt"))
    assert (row["D"], row["Y"]) == (datetime(2024, 2, 29), date(2024, 2, 29))  # noqa: DTZ001
