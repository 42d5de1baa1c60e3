r"""HL7 v2: messages as segments, patients and results; batches, escapes, and framing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from connect_workbench import Taken, Workbench, rows_of
from samples import SAMPLES, needs_samples

from headrace.connect.deliveries import UnreadableFile
from headrace.model.texts import plain
from headrace_legacy.hl7 import COLUMNS

RESULT = [
    r"MSH|^~\&|LAB|HOSP|EHR|HOSP|20240102125300+0100||ORU^R01^ORU_R01|MSG1|P|2.5.1",
    "PID|1||7^^^HOSP&1.2.3&ISO^MR~8^^^^SS||DOE^JANE^Q||19800229|F|||1 STREET^^TOWN^ST^12345^US",
    "PV1|1|I|W1^R2^B3||||A1^WHO^DOC||||||||||||V1",
    "OBR|1|P1|F1|CBC^Blood count^L",
    r"OBX|1|NM|718-7^Hemoglobin^LN||13.5|g/dL|12-16|N|||F|||202401021200",
    r"OBX|2|TX|N^Note^L||5 \T\ 6 \S\ 7\.br\second \H\line~third||||||F",
    "OBX|3|SN|T^Titer^L||^1^:^128||||||F",
    "OBX|4|CWE|O^Organism^L||A^First^L~B^Second^L||||||F",
    "ZPI|1|own^data",
]
ADMISSION = [
    r"MSH|^~\&|ADT|HOSP|EHR|HOSP|202401021254||ADT^A40^ADT_A39|MSG2|P|2.5.1",
    "EVN|A40|202401021254",
    'PID|1||9^^^HOSP^MR||ROE^MAX||""|M',
    "MRG|5^^^HOSP^MR",
]


def batch(*messages: list[str], end: str = "\r") -> bytes:
    lines = [
        r"FHS|^~\&|LAB",
        r"BHS|^~\&|LAB||||||||B1",
        *(line for each in messages for line in each),
    ]
    return (end.join([*lines, f"BTS|{len(messages)}", "FTS|1"]) + end).encode()


def take(bench: Workbench, content: bytes, rows: str = "segments", **more: Any) -> Any:
    return bench.take(content, "a.hl7", options={"hl7": {"rows": rows}}, **more)


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_segments_have_all_their_values(bench: Workbench, end: str) -> None:
    """Would catch: line ends that make one segment of all, own segments dropped, the header's
    fields counted from another one."""
    taken = take(bench, batch(RESULT, ADMISSION, end=end))
    rows = rows_of(taken)
    assert taken.types()["fields"] == "VARCHAR[][][][]"
    assert [row["id"] for row in rows[:9]] == [line[:3] for line in RESULT]
    header, patient = rows[0]["fields"], rows[1]["fields"]
    assert header[:3] == [[[["|"]]], [[["^~\\&"]]], [[["LAB"]]]]
    assert header[8] == [[["ORU"], ["R01"], ["ORU_R01"]]]
    assert patient[2] == [
        [["7"], None, None, ["HOSP", "1.2.3", "ISO"], ["MR"]],
        [["8"], None, None, None, ["SS"]],
    ]
    assert rows[8]["fields"][1] == [[["own"], ["data"]]]
    assert rows[5]["fields"][4] == [[["5 & 6 ^ 7\nsecond \\H\\line"]], [["third"]]]


def test_escapes_of_other_kinds_are_pairs_too(bench: Workbench) -> None:
    r"""Would catch: the end of an escape that stays, read as the begin of the next one: in
    `\H\R\N\` the `\R\` isn't a separator."""
    notes = [
        (r"\H\R\N\.", r"\H\R\N\."),
        (r"\.sp2\T\.in+4\.", r"\.sp2\T\.in+4\."),
        (r"\Z1F\E\M2134FF\S\T\.", r"\Z1F\E\M2134FF\S&."),
        (r"\XE4\F\H\\F\\N\.", r"\XE4\F\H\|\N\."),
        (r"5 \ 6 \T\ 7", r"5 \ 6 & 7"),
    ]
    message = [*RESULT[:4], *(f"OBX|1|TX|N^Note^L||{note}||||||F" for note, _ in notes)]
    results = rows_of(take(bench, batch(message), "observations"))
    assert [row["value"] for row in results] == [value for _, value in notes]


def test_messages_patients_and_results(bench: Workbench) -> None:
    content = batch(RESULT, ADMISSION)
    first, second = rows_of(take(bench, content, "messages"))
    assert (first["batch"], first["message_type"], first["trigger_event"]) == ("B1", "ORU", "R01")
    assert (first["sent"], second["sent"]) == ("2024-01-02T12:53:00+01:00", "2024-01-02T12:54")
    jane, other = rows_of(take(bench, content, "patients"))
    assert (jane["patient_id"], jane["patient_last"], jane["born"]) == ("7", "DOE", "1980-02-29")
    assert (jane["patient_id_authority"], jane["bed"], jane["attending_last"]) == (
        "HOSP",
        "B3",
        "WHO",
    )
    assert (other["prior_patient_id"], other["born"], other["sex"]) == ("5", '""', "M")
    results = rows_of(take(bench, content, "observations"))
    assert [(row["value"], row["value_text"]) for row in results] == [
        ("13.5", None),
        ("5 & 6 ^ 7\nsecond \\H\\line\nthird", None),
        ("1:128", None),
        ("A\nB", "First\nSecond"),
    ]
    assert (results[0]["unit"], results[0]["observed"]) == ("g/dL", "2024-01-02T12:00")
    assert {(row["patient_id"], row["placer_order"], row["service"]) for row in results} == {
        ("7", "P1", "CBC")
    }


def test_results_of_two_patients_in_one_message(bench: Workbench) -> None:
    """Would catch: the second patient's results under the first one's name."""
    message = [*RESULT[:5], RESULT[1].replace("7^^^", "70^^^"), *RESULT[3:5]]
    results = rows_of(take(bench, batch(message), "observations"))
    assert [row["patient_id"] for row in results] == ["7", "70"]
    assert len(rows_of(take(bench, batch(message), "patients"))) == 2


def test_messages_alone_with_other_separators_in_blocks(bench: Workbench) -> None:
    r"""Would catch: the bytes of MLLP in a value, and the separators of the message before."""
    other = "\r".join(RESULT).translate(str.maketrans("|^~", "!*%"))
    blocks = "".join(f"\x0b{text}\r\x1c\r" for text in ("\r".join(ADMISSION), other))
    rows = rows_of(take(bench, blocks.encode(), "patients"))
    assert [(row["patient_id"], row["batch"]) for row in rows] == [("9", None), ("7", None)]
    assert rows_of(take(bench, f"\x0b{other}\x1c\r".encode()))[-1]["fields"][1] == [
        [["own"], ["data"]]
    ]


@pytest.mark.parametrize("rows", COLUMNS)
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("BTS|2", "BTS|3", "it states 3 messages, of 2"),
        ("FTS|1", "FTS|2", "it states 2 batches, of 1"),
    ],
)
def test_a_batch_with_another_count_is_held(
    bench: Workbench, old: str, new: str, reason: str, rows: str
) -> None:
    content = batch(RESULT, ADMISSION).replace(old.encode(), new.encode())
    refused = take(bench, content, rows)
    assert isinstance(refused, UnreadableFile), refused
    assert refused.code == "delivery_total"
    assert reason in plain(refused.reason)
    assert isinstance(take(bench, content, rows, accepted=True), Taken)


@pytest.mark.parametrize(
    ("content", "reason", "code"),
    [
        (batch(RESULT)[: -len("BTS|1\rFTS|1\r")], "has no end (BTS)", "delivery_truncated"),
        (batch(RESULT)[: -len("FTS|1\r")], "has no end (FTS)", "delivery_truncated"),
        (b"PID|1||7\r", "at byte 0 no header (FHS, BHS, MSH)", ""),
        (b"MSHX", "no header (FHS, BHS, MSH) declares separators", ""),
        (
            batch(RESULT).replace(b"\rOBX|3", b"\nOBX|3"),
            "has a line break inside that ends no other segment",
            "",
        ),
        (batch(RESULT).replace(b"\rPV1", b"\rpv1"), "pv1 is no name of a segment", ""),
    ],
)
def test_what_isnt_hl7_is_refused(bench: Workbench, content: bytes, reason: str, code: str) -> None:
    refused = take(bench, content)
    assert isinstance(refused, UnreadableFile), refused
    assert reason in plain(refused.reason)
    assert refused.code == (code or "unreadable_delivery")


def test_batches_may_leave_out_their_counts(bench: Workbench) -> None:
    content = batch(RESULT).replace(b"BTS|1", b"BTS").replace(b"FTS|1", b"FTS|")
    assert len(rows_of(take(bench, content, "messages"))) == 1
    lines = [r"FHS|^~\&|LAB", *RESULT, "FTS|1"]
    assert len(rows_of(take(bench, "\r".join(lines).encode(), "messages"))) == 1


@needs_samples
@pytest.mark.parametrize("name", ["ADT-A01-02", "ADT-A06-02", "ORU-R01-01"])
def test_samples_have_the_expected_patients(bench: Workbench, name: str) -> None:
    """Would catch: a real message that is read otherwise than the expected FHIR resources."""
    content = (SAMPLES / f"hl7v2/{name}.hl7").read_bytes()
    bundle = json.loads((SAMPLES / f"hl7v2/{name}-expected.fhir.json").read_text())
    resources = [entry["resource"] for entry in bundle["entry"]]
    expected = next(each for each in resources if each["resourceType"] == "Patient")
    (patient,) = rows_of(take(bench, content, "patients"))
    assert patient["patient_id"] in [item.get("value") for item in expected["identifier"]]
    names = expected["name"][0]
    assert (patient["patient_last"], patient["patient_first"]) == (
        names["family"],
        names["given"][0],
    )
    assert {"M": "male", "F": "female"}[patient["sex"]] == expected["gender"]
    assert patient["born"][:10] == expected["birthDate"][:10]
    address = expected["address"][0]
    assert [patient[key] for key in ("city", "state", "postal_code", "country")] == [
        address[key].strip() for key in ("city", "state", "postalCode", "country")
    ]
    assert address["line"][0].startswith(patient["street"])
    codes = {
        (coding["code"], coding["display"])
        for each in resources
        if each["resourceType"] == "Observation"
        for coding in each.get("code", {}).get("coding", [])
        if "display" in coding
    }
    results = rows_of(take(bench, content, "observations"))
    assert codes <= {(row["code"], row["code_text"]) for row in results}


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1980", "1980"),
        ("198002", "1980-02"),
        ("19800229", "1980-02-29"),
        ("1980022905", "1980-02-29T05"),
        ("198002290507", "1980-02-29T05:07"),
        ("19800229050708.25-0500", "1980-02-29T05:07:08.25-05:00"),
        ("19800", "19800"),
    ],
)
def test_times_are_as_precise_as_they_are_written(bench: Workbench, text: str, time: str) -> None:
    """Would catch: an hour taken for a minute, and the day before it for an hour."""
    content = "\r".join(["MSH|^~\\&|A|B|C|D|20240102||ADT^A01|1|P|2.5", f"PID|1||7||X||{text}", ""])
    (row,) = rows_of(bench.take(content.encode(), "a.hl7", options={"hl7": {"rows": "patients"}}))
    assert row["born"] == time


def test_a_block_inside_of_a_segment_is_refused(bench: Workbench) -> None:
    """Would catch: two messages read as one, the second's header as fields of the first."""
    message = "MSH|^~\\&|A|B|C|D|20240102||ADT^A01|1|P|2.5\rPID|1"
    content = f"\x0b{message}\x1c\x0b{message}\x1c".encode()
    taken = bench.take(content, "a.hl7", options={"hl7": {"rows": "messages"}})
    assert "MLLP block inside" in str(taken)
