"""NAACCR: tumors and items of registries, in lines and in XML."""

from __future__ import annotations

import os
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from connect_workbench import Workbench, rows_of
from mutations import shuffled
from samples import SAMPLES, needs_samples

from headrace.connect.deliveries import CannotRead, UnreadableFile
from headrace.model.texts import plain
from headrace_legacy.naaccr import _LENGTHS, Naaccr, known_items

MUTATIONS = int(os.environ.get("HEADRACE_MUTATIONS", "300"))
XML = """<?xml version="1.0"?>
<NaaccrData baseDictionaryUri="http://naaccr.org/naaccrxml/naaccr-dictionary-240.xml"
 recordType="I" specificationVersion="1.7" xmlns="http://naaccr.org/naaccrxml" xmlns:o="http://o.o">
  <Item naaccrId="registryId">0000000001</Item>
  <Patient>
    <Item naaccrId="patientIdNumber">00000001</Item>
    <Item naaccrNum="220">1</Item>
    <o:Own><o:Item>x</o:Item></o:Own>
    <Tumor><Item naaccrId="primarySite" naaccrNum="400">C123</Item></Tumor>
    <Tumor><Item naaccrId="primarySite">C509</Item><Item naaccrId="ownItem"> 7 </Item></Tumor>
  </Patient>
  <Patient><Item naaccrId="patientIdNumber">00000002</Item></Patient>
</NaaccrData>
"""


def line(kind: str = "I", version: str = "180", **values: str) -> str:
    """A record with these items."""
    written = [" "] * _LENGTHS[version][kind]
    for name, value in {"recordType": kind, "naaccrRecordVersion": version, **values}.items():
        place = known_items()[name].places[version]
        written[place] = value.ljust(place.stop - place.start)
    return "".join(written)


LINES = "\n".join(
    [
        line(primarySite="C123", sex="1", ageAtDiagnosis="060"),
        line("A", "160", primarySite="C509", nameLast="Zoë"),
        "",
    ]
)


def take(bench: Workbench, content: str, **options: Any) -> Any:
    return bench.take(content.encode(), "a.naaccr", options={"naaccr": options})


def test_tumors_of_xml(bench: Workbench) -> None:
    """Would catch: a patient without tumors that is lost, a zero in front that is lost, and a
    tumor with the items of another one."""
    found = rows_of(take(bench, XML, items=["registryId", "patientIdNumber", "sex", "primarySite"]))
    assert [tuple(row.values()) for row in found] == [
        ("I", "240", 1, 1, "0000000001", "00000001", "1", "C123"),
        ("I", "240", 1, 2, "0000000001", "00000001", "1", "C509"),
        ("I", "240", 2, None, "0000000001", "00000002", None, None),
    ]


def test_items_of_xml(bench: Workbench) -> None:
    found = rows_of(take(bench, XML, rows="items"))
    names = ("patient", "tumor", "element", "item", "number", "value")
    assert [tuple(row[name] for name in names) for row in found] == [
        (None, None, "NaaccrData", "registryId", 40, "0000000001"),
        (1, None, "Patient", "patientIdNumber", 20, "00000001"),
        (1, None, "Patient", "sex", 220, "1"),
        (1, 1, "Tumor", "primarySite", 400, "C123"),
        (1, 2, "Tumor", "primarySite", 400, "C509"),
        (1, 2, "Tumor", "ownItem", None, " 7 "),
        (2, None, "Patient", "patientIdNumber", 20, "00000002"),
    ]


def test_lines(bench: Workbench) -> None:
    """Would catch: a record that is read by the columns of another version or type."""
    items = ["primarySite", "sex", "ageAtDiagnosis", "nameLast"]
    found = rows_of(take(bench, f"{LINES}\n\x1a", items=items))
    assert [tuple(row.values()) for row in found] == [
        ("I", "180", None, 1, "C123", "1", "060", None),
        ("A", "160", None, 2, "C509", None, None, "Zoë"),
    ]
    items = rows_of(take(bench, LINES, rows="items"))
    assert {row["item"] for row in items if row["tumor"] == 1} == {
        *("recordType", "naaccrRecordVersion", "ageAtDiagnosis", "sex", "primarySite")
    }


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("</NaaccrData>", "", "the file is cut off"),
        ('recordType="I"', 'recordType="X"', "there is no recordType X"),
        ('naaccrNum="400"', 'naaccrNum="401"', "`primarySite` has the number 400"),
        ('naaccrNum="220"', 'naaccrNum="99999"', "an Item without naaccrId"),
        ('naaccrNum="220"', 'naaccrNum="20"', "the item `patientIdNumber` is there twice"),
        ("ownItem", "registryId", "the item `registryId` is there twice"),
        ("<Tumor><Item naaccrId", "<Tumor><Itm naaccrId", "isn't well-formed"),
        ("</Patient>", '<Item naaccrId="sex">1</Item></Patient>', "an Item stands after"),
        ("</Patient>", "<Tumour/></Patient>", "NAACCR has no element `Tumour`"),
        (">C123<", ">C1<b/>23<", "the item `primarySite` has elements inside"),
        ("NaaccrData", "Naaccr", "its first element is no NaaccrData"),
    ],
)
def test_what_isnt_naaccr_is_refused(bench: Workbench, old: str, new: str, reason: str) -> None:
    """Would catch: a misspelt element whose values would be missing without an error."""
    count = 2 if old == "NaaccrData" else 1
    refused = take(bench, XML.replace(old, new, count))
    assert isinstance(refused, UnreadableFile), refused
    assert reason in plain(refused.reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (LINES[1:], "and version 80"),
        (LINES[:-5], "line 2: it has"),
        (line("I", "180").replace("180", "210"), "version 210"),
    ],
)
def test_lines_of_another_length_or_version(bench: Workbench, content: str, reason: str) -> None:
    refused = take(bench, content)
    assert isinstance(refused, UnreadableFile), refused
    assert reason in plain(refused.reason)


def test_no_column_belongs_to_two_items() -> None:
    """Would catch: a wrong place in the table. Items that are parts of others don't exist."""
    for version in ("140", "150", "160", "180"):
        places = sorted(
            (item.places[version].start, item.places[version].stop)
            for item in known_items().values()
            if version in item.places
        )
        assert all(stop <= start for (_, stop), (start, _) in pairwise(places))


@needs_samples
def test_samples(bench: Workbench) -> None:
    """Would catch: other values than the registry's software sees."""
    found = rows_of(take(bench, (SAMPLES / "naaccr/standard-file.xml").read_text(), rows="items"))
    assert [(row["patient"], row["item"], row["value"]) for row in found] == [
        (None, "registryId", "0000000001"),
        (1, "patientIdNumber", "00000001"),
        (1, "primarySite", "C123"),
        (2, "patientIdNumber", "00000002"),
    ]
    content = (SAMPLES / "naaccr/fake-naaccr14inc-1-rec.txt").read_text()
    (tumor,) = rows_of(take(bench, content))
    assert (tumor["primarySite"], tumor["dateOfDiagnosis"]) == ("C577", "20100615")
    assert (tumor["reportingFacility"], tumor["patientIdNumber"]) == ("FAC-0001", "00000000")
    items = rows_of(take(bench, content, rows="items"))
    written = "".join(content.split())
    assert sum(len("".join(row["value"].split())) for row in items) == len(written)


@pytest.mark.parametrize("content", [XML, LINES], ids=["xml", "lines"])
def test_mutated_files_are_refused_or_read_to_the_letter(tmp_path: Path, content: str) -> None:
    """Would catch: a crash, and a value that the file doesn't have."""
    chance, form, path = random.Random("naaccr"), Naaccr(), tmp_path / "a"
    outcomes = set()
    for _ in range(MUTATIONS):
        data = shuffled(content.encode(), chance)
        path.write_bytes(data)
        for kind in form.kinds_of_rows:
            try:
                for row in form.records(path, {"rows": kind}):
                    assert [*row] == [*form.kinds_of_rows[kind]]
                    assert kind == "tumors" or (row["value"] or "").encode() in data or b"&" in data
            except (CannotRead, UnicodeDecodeError):
                outcomes.add("refused")
            else:
                outcomes.add("read")
    assert outcomes == {"refused", "read"}


def test_a_page_names_all_rows_and_columns() -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/legacy/naaccr.md").read_text()
    for kind, columns in Naaccr.kinds_of_rows.items():
        assert not [name for name in (kind, *columns) if f"`{name}`" not in page], kind
