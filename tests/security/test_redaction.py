"""Redaction of streams: wherever a stream is cut, what comes out is what the whole text would have
become."""

from __future__ import annotations

import base64
import itertools
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
    assert redactor.without_end_of_secret(b"-secret-of-17-ch: no") == b"***: no"
    assert redactor.without_end_of_secret(b"ch is short") == b"*** is short"
    assert redactor.without_end_of_secret(b"hello") == b"hello"  # one letter is in most words
    assert Redactor([]).without_end_of_secret(b"hello") == b"hello"


def test_a_secret_that_is_complete_is_decided_at_once() -> None:
    """Would catch: a line that ends in a password and appears only with the next one."""
    stream = Redactor(["a-very-long-secret-of-many-characters"]).stream()
    assert stream.feed(b"it is a-very-long-secret-of-many-characters") == b"it is ***"
    assert stream.rest() == b""


def test_a_secret_that_begins_like_the_letter_before_it_is_withheld() -> None:
    """Would catch: a beginning that is overlooked because the letter before it could be one too."""
    stream = Redactor(["aab-secret"]).stream()
    assert stream.feed(b"aaab-sec") == b"a"
    assert stream.feed(b"ret.") == b"***."


def test_the_longer_of_two_secrets_is_waited_for() -> None:
    """Would catch: `***` for the shorter secret, followed by the rest of the longer one."""
    stream = Redactor(["hunter2", "hunter2-admin"]).stream()
    assert stream.feed(b"as hunter2-ad") == b"as "
    assert stream.feed(b"min") == b"***"
    assert stream.feed(b"as hunter2-ad") == b"as "
    assert stream.rest() == b"***-ad"
    assert stream.rest() == b""


@pytest.mark.parametrize("values", [(), ("",), ("abc",)])
def test_a_stream_without_a_long_secret_passes(values: tuple[str, ...]) -> None:
    """Would catch: output that is lost in a project without secrets."""
    stream = Redactor(values).stream()
    assert (stream.feed(b"abc "), stream.feed(b"def"), stream.rest()) == (b"abc ", b"def", b"")


def test_a_value_that_is_no_utf8_is_redacted_too() -> None:
    """Would catch: a traceback, or the bytes of an environment variable as they are."""
    redactor = Redactor(["p\udce9-secret"])
    stream = redactor.stream()
    assert stream.feed(b"<p\xe9-secret>") + stream.rest() == b"<***>"
    assert redactor.text("<p\udce9-secret>") == "<***>"


@pytest.mark.parametrize(
    ("values", "hidden"),
    [((), False), (("",), False), (("a",), True), (("abcd",), True)],
)
def test_a_redactor_knows_whether_it_hides_anything(values: tuple[str, ...], hidden: bool) -> None:
    """Would catch: a log that is copied through a redactor for nothing, or one that isn't."""
    assert Redactor(values).hides is hidden


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("abcd abc xabcdx xabcx abc-x", "*** *** x***x xabcx ***-x"),
        ("abcdabc", "***abc"),
        ("the end abc… and ab…", "the end ***… and ab…"),
    ],
)
def test_values_of_fewer_than_four_characters_are_words(text: str, redacted: str) -> None:
    """Would catch: half a word that becomes stars, or a short password that is shown."""
    assert Redactor(["abcd", "abc"]).text(text) == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("12345678… and 1234… and 123… end 1234", "***… and ***… and 123… end 1234"),
        ("1234567... 12345…", "***... ***…"),
        ("…1234", "…1234"),
        ("1234", "1234"),
        ("123456789…", "***9…"),
    ],
)
def test_each_cut_of_a_text_is_looked_at(text: str, redacted: str) -> None:
    """Would catch: a message of several shortened parts of which only the first is clean, and
    harmless words that are removed.
    """
    assert Redactor(["12345678"]).text(text) == redacted


def test_of_base64_nothing_but_its_neighbours_remains() -> None:
    """Would catch: one character of a password that remains, in six bits of base64, or one of what
    stands beside it that is removed.
    """
    for size, before, after in itertools.product(range(4, 11), range(4), range(4)):
        value = "\u00ff\u00fe>?~?>\u00fb\u00ff?"[:size]
        raw = value.encode()
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"u" * before + raw + b"u" * after).decode()
            first, last = -(-8 * before // 6), 8 * (before + len(raw)) // 6
            assert Redactor([value]).text(text) == f"{text[:first]}***{text[last:]}"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a<b>&'c\"", "a&lt;b&gt;&amp;&#x27;c&quot;"),
        ("a/b/c/d", "a\\/b\\/c\\/d"),
        ("it's one", "it''s one"),
        ("\u00fcber/d b", "%C3%BCber%2Fd%20b"),
        ("\u00fcber/d b", "%c3%bcber%2fd%20b"),
        ("\u00fcber/d b", "%C3%BCber/d%20b"),
        ("\u00fcber/d b", "%C3%BCber%2Fd+b"),
        ("\u00fcber/d b", "\\u00fcber/d b"),
        ("\u00fcber/d b", "\\u00fcber\\/d b"),
        ("\u00fcber/\td", "\u00fcber\\/\\td"),
        ("tab\there", "tab\\there"),
        ("abc\n wxyz \nfour\n", " wxyz "),
        ("abc\n wxyz \nfour\n", "four"),
    ],
)
def test_a_secret_is_found_as_programs_write_it(value: str, written: str) -> None:
    """Would catch: a password in a page of HTML, in SQL, in a URL, in JSON."""
    assert Redactor([value]).text(f"<{written}>") == "<***>"


def test_the_values_inside_a_secret_that_is_json_are_secrets() -> None:
    """Would catch: a program that prints the key out of the JSON that it got."""
    key = {
        "type": "service_account", "project_id": "orders-prod", "private_key": "one\nMIIEvTwo\nend",
        "client_email": "a@example.com", "token_uri": "https://example.com/token",
        "nested": [{"password": "correct horse"}, {"host": "db.example.com"}], "pin": "1234",
    }  # fmt: skip
    redactor = Redactor([json.dumps(key)])
    assert redactor.text("private MIIEvTwo") == "private ***"
    assert redactor.stream().feed(b"got correct horse\n") == b"got ***\n"
    plain = (
        "service_account orders-prod a@example.com https://example.com/token db.example.com 1234"
    )
    assert redactor.text(plain) == plain
    assert Redactor(['{"password": "not json"']).text("not json") == "not json"


def test_lines_of_a_secret_that_are_too_short_stay() -> None:
    """Would catch: each `}` removed from every text, because a key file has one in a line."""
    redactor = Redactor(["first\n   }\nlast"])
    assert redactor.text("   } and first and last") == "   } and *** and ***"
