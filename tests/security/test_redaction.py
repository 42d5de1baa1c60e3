"""Redaction of streams: wherever a stream is cut, what comes out is what the whole text would have
become."""

from __future__ import annotations

import base64
import json
import random
from urllib.parse import quote

import pytest

from headrace.security.secrets import Redactor, written_forms

SECRETS = (
    "s3cr3t",
    "s3cr3t-and-longer",
    'with "quotes" & %/',
    "ünïcode-pass",
    "aaaaaaab",
    "-----BEGIN KEY-----\nMIIEv\n-----END KEY-----",
)


def written(value: str) -> list[str]:
    b64 = [
        base64.b64encode((before + value + "tail").encode()).decode() for before in ("", "u", "us")
    ]
    return [value, quote(value, safe=""), json.dumps(value), repr(value), *b64]


@pytest.mark.parametrize("seed", range(60))
def test_a_stream_is_redacted_wherever_it_is_cut(seed: int) -> None:
    """Would catch: a secret of which each of two chunks holds a half."""
    rng = random.Random(seed)
    redactor = Redactor(SECRETS)
    text = "".join(
        rng.choice(["x", "s3", "\n", "aaaa", rng.choice(written(rng.choice(SECRETS)))])
        for _ in range(40)
    )
    data, stream, pieces = text.encode(), redactor.stream(), []
    while data:
        size = rng.choice([1, 2, 5, 30])
        pieces.append(stream.feed(data[:size]))
        data = data[size:]
    result = b"".join([*pieces, stream.rest()]).decode()
    assert result == redactor.text(text), f"seed {seed}"
    assert not any(form in result for secret in SECRETS for form in written_forms(secret)), (
        f"seed {seed}"
    )


def test_what_cannot_be_a_secret_is_not_withheld() -> None:
    """Would catch: the last words of a process that dies, kept back because a secret is long."""
    stream = Redactor(["a-very-long-secret-of-many-characters"]).stream()
    assert stream.feed(b"last words\n") == b"last words\n"
    assert (stream.feed(b"then a-very"), stream.feed(b" else"), stream.rest()) == (
        b"then ",
        b"a-very else",
        b"",
    )


@pytest.mark.parametrize("size", [4, 9, 16])
def test_a_text_that_was_cut_ends_in_no_half_secret(size: int) -> None:
    """Would catch: a message of which 2,000 characters are kept, the last of them the first of a
    password."""
    secret = "a-secret-of-17-ch"
    for end in ("…", "… (12 bytes more)", "..."):
        assert Redactor([secret]).text(f"said {secret[:size]}{end}") == f"said ***{end}"
    assert Redactor([secret]).text("that is all…") == "that is all…"


def test_what_a_dead_process_withheld_does_not_give_away_the_rest() -> None:
    """Would catch: the second half of a secret, whose first half a worker had in its memory when it
    was killed.
    """
    redactor = Redactor(["a-secret-of-17-ch"])
    assert redactor.without_end_of_secret(b"of-17-ch and more") == b"*** and more"
    assert redactor.without_end_of_secret(b"a-secret-of-17-ch.") == b"a-secret-of-17-ch."
    assert redactor.without_end_of_secret(b"nothing") == b"nothing"
