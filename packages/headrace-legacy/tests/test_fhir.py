"""FHIR: resources in lines and in bundles, with their numbers, references and totals."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from connect_workbench import Taken, Workbench, rows_of
from mutations import shuffled
from samples import SAMPLES, needs_samples

from headrace.connect.deliveries import CannotRead, UnreadableFile
from headrace.model.texts import plain
from headrace_legacy import fhir
from headrace_legacy.fhir import COLUMNS, Fhir

MUTATIONS = int(os.environ.get("HEADRACE_MUTATIONS", "300"))
PATIENT = (
    '{"resourceType":"Patient","id":"p1","meta":{"versionId":"2","lastUpdated":"2024-01-02T10:00:00Z"},'
    '"active":true,"name":[{"family":"Otto","given":["Zoë","Ann"]}],"birthDate":"2020-05",'
    '"generalPractitioner":[{"reference":"Practitioner/7/_history/1","display":"Dr. A"}],'
    '"identifier":[{"system":"a","value":"1"},{"system":"b","value":"2"}]}'
)
GLUCOSE = (
    '{"resourceType":"Observation","id":"o1","status":"final","subject":{"reference":"Patient/p1"},'
    '"code":{"coding":[{"system":"http://loinc.org","code":"2339-0","display":"Glucose"}]},'
    '"valueQuantity":{"value":1.10,"comparator":"<","unit":"mmol/L"}}'
)
PRESSURE = (
    '{"resourceType":"Observation","id":"o2","status":"final","contained":[{"resourceType":"Patient",'
    '"id":"inner","gender":"other"}],"subject":{"reference":"#inner"},"code":{"text":"BP"},'
    '"component":[{"code":{"text":"systolic"},"valueQuantity":{"value":120}},'
    '{"code":{"text":"diastolic"},"valueQuantity":{"value":8.0e1}}]}'
)
LINES = f"{PATIENT}\n{GLUCOSE}\n\n{PRESSURE}\n"


def bundle(
    *resources: str, total: int | None = None, links: str = "", kind: str = "searchset"
) -> str:
    entries = ",\n ".join(
        f'{{"fullUrl":"http://s/{number}","resource":{resource},"search":{{"mode":"match"}}}}'
        for number, resource in enumerate(resources)
    )
    stated = "" if total is None else f'"total":{total},'
    return f'{{"resourceType":"Bundle","type":"{kind}",{stated}"link":[{links}],"entry":[\n {entries}]}}'


def take(bench: Workbench, content: str, rows: str = "", **options: Any) -> Any:
    accepted = options.pop("accepted", False)
    kinds = {"rows": rows} if rows else {}
    settings = {"fhir": {**kinds, **options}}
    return bench.take(content.encode(), "a.ndjson", options=settings, accepted=accepted)


@pytest.mark.parametrize("content", [LINES, bundle(PATIENT, GLUCOSE, PRESSURE, total=3)])
def test_types_of_resources(bench: Workbench, content: str) -> None:
    """Would catch: 1.10 that becomes 1.1, 2020-05 that becomes a day, and a component's value
    that is given to the observation."""
    patient, inner = rows_of(take(bench, content, "patients"))
    assert (patient["born"], patient["given"], patient["active"]) == ("2020-05", "Zoë", "true")
    assert (patient["identifier"], patient["container"]) == ("1", None)
    assert (inner["id"], inner["gender"], inner["container"]) == ("inner", "other", 3)
    observations = rows_of(take(bench, content, "observations"))
    names = ("id", "component", "code_text", "value_type", "comparator", "value")
    assert [tuple(row[name] for name in names) for row in observations] == [
        ("o1", None, "Glucose", "Quantity", "<", "1.10"),
        ("o2", None, "BP", None, None, None),
        ("o2", 1, "systolic", "Quantity", None, "120"),
        ("o2", 2, "diastolic", "Quantity", None, "8.0e1"),
    ]
    assert {row["subject"] for row in observations} == {"Patient/p1", "#inner"}


def test_resources_and_references(bench: Workbench) -> None:
    content = bundle(PATIENT, PRESSURE)
    first, second, contained = rows_of(take(bench, content))
    assert (first["type"], first["version"], first["full_url"]) == ("Patient", "2", "http://s/0")
    assert (contained["container"], contained["bundle"]) == (second["resource"], 1)
    assert json.loads(first["json"]) == json.loads(PATIENT)
    (glucose,) = rows_of(take(bench, GLUCOSE))
    assert glucose["json"] == GLUCOSE, "the number, too"
    references = rows_of(take(bench, content, "references"))
    assert [(row["path"], row["target_type"], row["target_id"]) for row in references] == [
        ("generalPractitioner[1]", "Practitioner", "7"),
        ("subject", None, None),
    ]
    numbered = '{"resourceType":"Claim","insurer":{"reference":5},"patient":{"reference":"a/1"}}'
    (reference,) = rows_of(take(bench, numbered, "references"))
    assert reference["path"] == "patient"
    values = {row["path"]: row["value"] for row in rows_of(take(bench, PATIENT, "values"))}
    assert (values["name[1].given[2]"], values["active"]) == ("Ann", "true")


def test_declared_columns(bench: Workbench) -> None:
    (row,) = rows_of(
        take(
            bench,
            LINES,
            type="Patient",
            columns={"second": "identifier[system=b].value", "any": "nickname | name.family"},
        )
    )[:1]
    assert (row["second"], row["any"], row["id"]) == ("2", "Otto", "p1")


def test_deletions_of_a_history(bench: Workbench) -> None:
    """Would catch: a deleted resource that is no row."""
    content = bundle(PATIENT, total=2, kind="history").replace(
        '"entry":[', '"entry":[{"request":{"method":"DELETE","url":"Patient/p2"}},'
    )
    deleted, _ = rows_of(take(bench, content))
    assert (deleted["type"], deleted["method"], deleted["url"]) == (None, "DELETE", "Patient/p2")


NEXT = '{"relation":"next","url":"u"}'
PREVIOUS = '{"relation":"previous","url":"u"}'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bundle(PATIENT, total=1), ""),
        (bundle(PATIENT, kind="collection"), ""),
        (bundle(PATIENT, total=2), "line 2: bundle 1 states the total 2, and has 1 entries"),
        (bundle(PATIENT, GLUCOSE, total=1), "states the total 1, and has 2 entries"),
        (bundle(PATIENT, total=2, links=NEXT), "states the total 2, and has 1"),
        (
            bundle(PATIENT, total=2, links=NEXT) + bundle(GLUCOSE, total=2, links=PREVIOUS),
            "",
        ),
        (bundle(PATIENT, GLUCOSE, total=1).replace("match", "include", 1), ""),
    ],
)
def test_totals_of_bundles(bench: Workbench, content: str, reason: str) -> None:
    """Would catch: a search whose second page is missing, published as if it were all."""
    for kind in ("resources", "patients"):
        taken = take(bench, content, kind)
        if not reason:
            assert isinstance(taken, Taken), taken
            continue
        assert isinstance(taken, UnreadableFile), taken
        assert taken.code == "delivery_total"
        assert reason in plain(taken.reason)
        assert isinstance(take(bench, content, kind, accepted=True), Taken)
        assert isinstance(take(bench, content, kind, total="unchecked"), Taken)


@pytest.mark.parametrize(
    ("content", "reason", "code"),
    [
        (PATIENT + "\n" + GLUCOSE[:-20], "line 2: the file is cut off", "delivery_truncated"),
        (bundle(PATIENT)[:-2], "the file is cut off", "delivery_truncated"),
        ('{"a":1}', "line 1: an object without resourceType", None),
        ("[]", "{ expected, not [", None),
        (PATIENT.replace('"active":true', '"active":true,"active":true'), "is there twice", None),
        (GLUCOSE.replace("1.10", "NaN"), "NaN is no number", None),
        (GLUCOSE.replace("1.10", "01.10"), "it isn't JSON", None),
        (bundle(PATIENT, total=1).replace('"total":1', '"total":"1"'), "1 is no total", None),
        ('{"resourceType":"Patient","x":' + "[" * 100_000, "nested too deeply", None),
    ],
)
def test_what_isnt_fhir_is_refused(
    bench: Workbench, content: str, reason: str, code: str | None
) -> None:
    refused = take(bench, content)
    assert isinstance(refused, UnreadableFile), refused
    assert reason in plain(refused.reason)
    assert refused.code == (code or "unreadable_delivery")


@pytest.mark.parametrize("size", [1, 7, 100])
def test_chunks_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Would catch: a number or text that ends where a chunk does."""
    content = bundle(PATIENT, GLUCOSE, PRESSURE, total=3) + LINES
    path = tmp_path / "a"
    path.write_text(content)
    expected = [*Fhir().records(path, {})]
    monkeypatch.setattr(fhir, "_CHUNK_CHARACTERS", size)
    assert [*Fhir().records(path, {})] == expected
    monkeypatch.setattr(fhir, "RESOURCE_CHARACTERS_MAX", 200)
    with pytest.raises(CannotRead, match="a resource has more than 200 characters"):
        list(Fhir().records(path, {}))


@needs_samples
@pytest.mark.parametrize("name", ["ADT-A01-02", "ADT-A06-02", "ORU-R01-01"])
def test_samples(bench: Workbench, name: str) -> None:
    """Would catch: a resource, number or text of a real bundle that is lost."""
    content = (SAMPLES / f"hl7v2/{name}-expected.fhir.json").read_text()
    resources = [entry["resource"] for entry in json.loads(content)["entry"]]
    found = rows_of(take(bench, content))
    assert [(row["type"], row["id"]) for row in found if row["container"] is None] == [
        (resource["resourceType"], resource["id"]) for resource in resources
    ]
    assert [json.loads(row["json"]) for row in found if row["container"] is None] == resources


def test_mutated_files_are_refused_or_read_to_the_letter(tmp_path: Path) -> None:
    """Would catch: a crash, and other resources than a plain reader of JSON finds."""
    chance, form, path = random.Random("fhir"), Fhir(), tmp_path / "a"
    good, outcomes = LINES.encode() + bundle(GLUCOSE, total=1).encode(), set()
    for number in range(MUTATIONS):
        data = shuffled(good, chance)
        path.write_bytes(data)
        for kind in COLUMNS:
            try:
                found = [*form.records(path, {"rows": kind})]
            except (CannotRead, UnicodeDecodeError):
                outcomes.add("refused")
                continue
            outcomes.add("read")
            if kind == "resources":
                lines = data.decode().splitlines()
                texts = [line for line in lines if line.strip() and '"Bundle"' not in line]
                plainly = [*valid(texts)]
                read = [json.loads(row["json"] or "null") for row in found if not row["container"]]
                assert all(item in read for item in plainly), number
    assert outcomes == {"refused", "read"}


def valid(texts: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the resources of the lines that are valid JSON."""
    for text in texts:
        with suppress(ValueError):
            yield json.loads(text)


def test_a_page_names_all_rows_and_columns() -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/legacy/fhir.md").read_text()
    for kind, columns in COLUMNS.items():
        assert not [name for name in (kind, *columns) if f"`{name}`" not in page], kind


def test_columns_of_a_row_are_of_one_item(bench: Workbench) -> None:
    """Would catch: a local code with the system of another coding."""
    local = GLUCOSE.replace('"coding":[', '"coding":[{"code":"GLU"},').replace(
        "valueQuantity", "other"
    )
    content = local[:-1] + (
        ',"valueCodeableConcept":{"coding":[{"system":"a"},{"code":"POS"}]},'
        '"referenceRange":[{"low":{"value":3}},{"high":{"value":10}}]}'
    )
    (row,) = rows_of(take(bench, content, "observations"))
    names = ("code", "code_system", "value", "value_system", "low", "high")
    assert [row[name] for name in names] == ["GLU", None, "POS", None, "3", None]
    old = PATIENT.replace('"name":[', '"name":[{"use":"old","given":["Zed"]},')
    (row,) = rows_of(take(bench, old, "patients"))
    assert (row["family"], row["given"]) == ("Otto", "Zoë")


@pytest.mark.parametrize(
    ("value", "plainly"),
    [
        ('"valueRatio":{"numerator":{"value":1},"denominator":{"value":128}}', "1:128"),
        ('"valueRange":{"low":{"value":5},"high":{"value":10}}', "5-10"),
        ('"valuePeriod":{"start":"2024-01","end":"2024-03"}', "2024-01/2024-03"),
        ('"valuePeriod":{"start":"2024-01"}', "2024-01/"),
    ],
)
def test_values_of_two_parts(bench: Workbench, value: str, plainly: str) -> None:
    content = f'{{"resourceType":"Observation","id":"a",{value}}}'
    assert [row["value"] for row in rows_of(take(bench, content, "observations"))] == [plainly]


def test_resources_inside_of_others(bench: Workbench) -> None:
    """Would catch: the patients of a batch's answers that are no rows."""
    inner = bundle(PATIENT, total=1)
    outer = bundle(inner, kind="batch-response")
    parameters = f'{{"resourceType":"Parameters","parameter":[{{"name":"a","resource":{inner}}}]}}'
    for content, container in ((outer, 1), (parameters, 2)):
        (row,) = rows_of(take(bench, content, "patients"))
        assert (row["id"], row["container"]) == ("p1", container)
        assert len(rows_of(take(bench, content, "references"))) == 1
        held = take(bench, content.replace('"total":1', '"total":7'), "patients")
        assert "states the total 7, and has 1" in plain(held.reason)


def test_a_reference_by_condition_has_no_target(bench: Workbench) -> None:
    content = GLUCOSE.replace("Patient/p1", "Patient?identifier=http://x.org/Ids/77")
    (row,) = rows_of(take(bench, content, "references"))
    assert (row["target_type"], row["target_id"]) == (None, None)


def test_pages_of_a_search(bench: Workbench) -> None:
    """Would catch: a page that is there twice, in place of another one."""
    first = bundle(PATIENT, total=2, links=NEXT)
    assert isinstance(take(bench, first + bundle(GLUCOSE, total=2)), Taken)
    held = take(bench, first + bundle(PATIENT, total=2, links=PREVIOUS))
    assert "bundle 2 has the entries of an earlier page" in plain(held.reason)
    count = '{"relation":"self","url":"http://s/Patient?_summary=count"}'
    assert isinstance(take(bench, bundle(total=7, links=count)), Taken)
    assert take(bench, bundle(total=7)).code == "delivery_total"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (PATIENT.replace("Otto", "\\ud800"), "line 1: half of a character"),
        (PATIENT.replace("true", "[" * 700 + "]" * 700), "nested too deeply"),
        (bundle('{"resourceType":{"a":1}}'), "line 2: a resourceType isn't text"),
        ('{"resourceType":5}', "line 1: a resourceType isn't text"),
        (bundle(PATIENT, total=1).replace('"total":1', '"total":' + "9" * 5000), "is no total"),
        ('{"entry":5,"resourceType":"Bundle"}', "line 1: `entry` is no list"),
    ],
)
def test_faults_are_told_with_their_place(bench: Workbench, content: str, reason: str) -> None:
    assert reason in plain(take(bench, content).reason)


def test_contained_that_is_no_list(bench: Workbench) -> None:
    assert len(rows_of(take(bench, PATIENT[:-1] + ',"contained":true}'))) == 1
