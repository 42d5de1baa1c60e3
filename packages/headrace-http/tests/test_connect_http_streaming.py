"""Records are cut from a document that is too large to be held as if it had been read whole."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from headrace.connect.deliveries import CannotRead
from headrace_http import records as http_records
from headrace_http.records import records_of_stream

SIGNS = 'ab"\\\n\r\t{}[],: é☃'


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small documents have many windows, and records larger than one."""
    monkeypatch.setattr(http_records, "WINDOW_BYTES", 64)
    monkeypatch.setattr(http_records, "RECORD_BYTES_MAX", 4096)


def cut(data: bytes, path: str, size: int = 7) -> list[Any]:
    lines = list(
        records_of_stream((data[at : at + size] for at in range(0, len(data), size)), path)
    )
    assert all(b"\n" not in line for line in lines)
    return [json.loads(line) for line in lines]


def value(rng: random.Random, depth: int) -> Any:
    if depth == 0 or rng.random() < 0.5:
        return rng.choice(
            [None, True, rng.randrange(10**20), "".join(rng.choices(SIGNS, k=rng.randrange(12)))]
        )
    inner = [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return (
        inner if rng.random() < 0.5 else {"".join(rng.choices(SIGNS, k=3)): item for item in inner}
    )


def record(rng: random.Random) -> dict[str, Any]:
    return {"".join(rng.choices(SIGNS, k=4)): value(rng, 3) for _ in range(rng.randrange(4))}


def test_what_is_cut_is_what_json_reads() -> None:
    """Would catch: a cut within a text or a nested object, records lost or doubled at a window's
    end, a wrong end of the array."""
    seed = random.randrange(2**32)
    rng = random.Random(seed)
    for _ in range(150):
        records = [record(rng) for _ in range(rng.choice([0, 1, 2, 30]))]
        document: Any = records
        path = "$"
        if rng.random() < 0.7:
            before = {f"b{n}": value(rng, 2) for n in range(rng.randrange(3))}
            after = {f"a{n}": value(rng, 2) for n in range(rng.randrange(3))}
            document, path = {**before, "x": {"items": records, "n": 1}, **after}, "$.x.items"
        data = json.dumps(
            document, indent=rng.choice([None, 1]), ensure_ascii=rng.random() < 0.5
        ).encode()
        assert cut(data, path, rng.choice([1, 7, 100])) == records, f"seed {seed}"


def test_a_document_that_breaks_off_is_refused() -> None:
    """Would catch: the records before the break taken for all of them."""
    data = json.dumps({"items": [{"n": n, "s": "}],"} for n in range(40)], "next": None}).encode()
    assert len(cut(data, "$.items")) == 40
    for length in range(len(data)):
        with pytest.raises(CannotRead):
            cut(data[:length], "$.items")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"items": [{"a": 1}], "items": []}' + b" " * 100, "comes twice"),
        (b'{"items": [{"a": 1}]} {}', "isn't JSON"),
        (b'{"other": [{"a": 1}]}', "no array at"),
        (b'{"items": {"a": [{"b": 1}]}}', "no array at"),
        (b'{"items": [' + b'{"a": 1},' * 20 + b'7, {"a": 2}]}', "isn't an object"),
        (b'{"items": [' + b'{"a": 1},' * 20 + b'{"a": tru}]}', "isn't"),
        (b'{"items": [{"a": "' + b"x" * 100_000 + b'"}]}', "longer than"),
        (b'{"items": [' + b'{"a": 1} ' * 20 + b"]}", "isn't"),
        (b'{"items": [{"a": "\xe9"}]}', "UTF-8"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, said: str) -> None:
    """Would catch: a second array of the same name that is passed over, noise between records, an
    endless record."""
    with pytest.raises(CannotRead, match=said):
        cut(data, "$.items")
