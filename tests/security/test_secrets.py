"""Secrets: what references become, and what is left of them in texts."""

from __future__ import annotations

import base64
import json
import random
import re
import string
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from headrace.security.secrets import SecretMissing, Secrets, references_in

CANARY = "c4nary/\"p@ss:w0rd%'ü"


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(tmp_path)


def test_an_environment_variable_is_read_each_time(
    secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch a rotated password that is used in its old form until a restart."""
    monkeypatch.setenv("CANARY", "first")
    assert secrets.resolved("secret://env/CANARY") == "first"
    monkeypatch.setenv("CANARY", "second")
    assert secrets.resolved({"a": ["Bearer ${CANARY}", 3, None]}) == {
        "a": ["Bearer second", 3, None]
    }


def test_a_file_is_read_without_its_line_end(secrets: Secrets, tmp_path: Path) -> None:
    """Would catch a password that ends in a line feed, which no database takes."""
    (tmp_path / "key").write_bytes(b"two words \r\n")
    assert secrets.resolved("secret://file/key") == "two words "
    assert secrets.resolved(f"secret://file/{tmp_path}/key") == "two words "
    for content, value in (
        (b"a\n", "a"),
        (b"a\n\n", "a\n"),
        (b"a\r", "a"),
        (b"a", "a"),
        (b"x" * 65_536, "x" * 65_536),
    ):
        (tmp_path / "key").write_bytes(content)
        assert secrets.resolved("secret://file/key") == value


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x" * 65_537])
def test_what_is_no_secret_file_is_refused(
    secrets: Secrets, tmp_path: Path, content: bytes | None
) -> None:
    """Would catch a file of gigabytes that is read whole, and a traceback for one that
    isn't there.
    """
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(SecretMissing, match="key"):
        secrets.resolved("secret://file/key")


@pytest.mark.parametrize(
    "reference",
    [
        "secret://env/NOT_SET_ANYWHERE",
        "${NOT_SET_ANYWHERE}",
        "secret://vault/a",
        "secret://",
        "  secret://env",
        "secret://env/A B",
        "secret://keyring/x",
    ],
)
def test_a_reference_to_nothing_is_never_taken_for_the_value(
    secrets: Secrets, reference: str
) -> None:
    """Would catch `secret://vault/x` that is sent to a server as if it were the password."""
    with pytest.raises(SecretMissing):
        secrets.resolved(reference)


def test_a_keyring_is_asked_by_service_and_name(secrets: Secrets) -> None:
    """Would catch service and name that are swapped, or cut at the first slash."""
    keyring = pytest.importorskip("keyring")

    class OneSecret(keyring.backend.KeyringBackend):  # type: ignore[misc, name-defined]
        """A keyring that holds one secret, as those of desktops do."""

        priority = 1

        def get_password(self, service: str, username: str) -> str | None:
            return CANARY if (service, username) == ("team/warehouse", "loader") else None

        def set_password(self, service: str, username: str, password: str) -> None:
            raise AssertionError("nothing is ever written to a keyring")

    before = keyring.get_keyring()
    keyring.set_keyring(OneSecret())
    try:
        assert secrets.resolved("secret://keyring/team/warehouse/loader") == CANARY
        with pytest.raises(SecretMissing, match="has no other"):
            secrets.resolved("secret://keyring/team/warehouse/other")
    finally:
        keyring.set_keyring(before)


def test_a_keyring_that_can_not_be_asked_is_said(
    secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a traceback on a server that has no keyring."""
    keyring = pytest.importorskip("keyring")
    from keyring.backends import fail

    before = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())
    try:
        with pytest.raises(SecretMissing, match="the keyring can't be read"):
            secrets.resolved("secret://keyring/team/loader")
    finally:
        keyring.set_keyring(before)
    with pytest.raises(SecretMissing, match="keyring/x names no service"):
        secrets.resolved("secret://keyring/x")
    monkeypatch.setitem(sys.modules, "keyring", None)  # as if it weren't installed
    with pytest.raises(SecretMissing, match="needs the package keyring"):
        secrets.resolved("secret://keyring/team/loader")


DECLARED = {
    "url": "https://${HOST_A}/x?key=${KEY_B}",
    "password": " secret://env/KEY_B ",
    "nested": [{"user": "ann"}, ("${KEY_B}", 7, None, True)],
    "prose": "see secret://env/KEY_B in the manual",
    "price": "$KEY_B ${not-a-name} ${7}",
}


def test_references_are_found_and_resolved_at_any_depth(
    secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: a reference in a list that is sent as it stands, and one that is only part of a
    sentence and becomes a password.
    """
    monkeypatch.setenv("HOST_A", "db.example.com")
    monkeypatch.setenv("KEY_B", "k3y-of-b")
    assert secrets.resolved(DECLARED) == DECLARED | {
        "url": "https://db.example.com/x?key=k3y-of-b",
        "password": "k3y-of-b",
        "nested": [{"user": "ann"}, ["k3y-of-b", 7, None, True]],
    }
    assert list(references_in(DECLARED)) == [
        "${HOST_A}",
        "${KEY_B}",
        "secret://env/KEY_B",
        "${KEY_B}",
    ]
    assert secrets.scrubbed("db.example.com with k3y-of-b") == "*** with ***"
    assert repr(secrets) == "Secrets(2 resolved)"


def test_all_that_can_be_resolved_is_hidden(
    secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch: one missing variable after which no other secret is removed from the logs."""
    monkeypatch.setenv("FIRST", "first-secret")
    monkeypatch.setenv("LAST", "last-secret")
    monkeypatch.setenv("EMPTY", "")
    secrets.hide_all(["${EMPTY}", "${NOT_SET_ANYWHERE}"])
    secrets.hide("")
    assert secrets.redactor is None
    assert secrets.scrubbed("first-secret") == "first-secret"
    secrets.hide_all(["${FIRST}", "${NOT_SET_ANYWHERE}", "secret://env/LAST"])
    assert secrets.redactor is not None
    assert secrets.redactor.text("first-secret, last-secret") == "***, ***"
    assert repr(secrets) == "Secrets(2 resolved)"


def _written(secret: str) -> dict[str, str]:
    basic = base64.b64encode(f"loader:{secret}".encode()).decode()
    return {
        "plain": secret,
        "url": quote(secret, safe=""),
        "url path": quote(secret),
        "form": quote_plus(secret),
        "url in small letters": re.sub(
            "%..", lambda result: result[0].lower(), quote(secret, safe="")
        ),
        "json": json.dumps({"password": secret}),
        "json utf-8": json.dumps({"password": secret}, ensure_ascii=False),
        "sql": f"password='{secret.replace(chr(39), chr(39) * 2)}'",
        "python": repr({"password": secret}),
        "basic": f"Basic {basic}",
    }


@pytest.mark.parametrize("form", sorted(_written(CANARY)))
def test_no_way_of_writing_a_secret_gets_through(secrets: Secrets, form: str) -> None:
    """Would catch a driver's error that quotes the URL, and a server's that quotes the header."""
    secrets.hide(CANARY)
    text = _written(CANARY)[form]
    said = secrets.scrubbed(f"it said <{text}> and left")
    assert (
        "c4nary" not in said
        and "***" in said
        and said.startswith("it said <")
        and said.endswith(" and left")
    )
    if form == "basic":
        assert base64.b64encode(CANARY.encode()).decode()[4:-4] not in said


def test_random_secrets_never_get_through() -> None:
    """Would catch a form that only some lengths or signs have, such as base64 at an odd offset."""
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    for _ in range(300):
        secret = "".join(
            draw.choices(
                string.ascii_letters + string.digits + "/+=%&?'\"\\ ü☃", k=draw.randrange(8, 40)
            )
        )
        user = "u" * draw.randrange(1, 5)
        secrets = Secrets(Path())
        secrets.hide(secret)
        basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
        for text in (*_written(secret).values(), basic):
            assert secret not in secrets.scrubbed(text)
            assert "***" in secrets.scrubbed(text)
        assert len(secrets.scrubbed(basic)) - 3 < 12, "what is left of it is the user's name"


def test_the_longer_of_two_secrets_leaves_no_rest(secrets: Secrets) -> None:
    """Would catch `hunter2-admin` that becomes `***-admin`."""
    secrets.hide("hunter2")
    secrets.hide("hunter2-admin")
    assert secrets.scrubbed("hunter2-admin, hunter2") == "***, ***"


def test_a_short_secret_leaves_the_words_of_a_message(secrets: Secrets) -> None:
    """Would catch a password `a` that turns every message into stars, and one that is shown where
    it stands alone.
    """
    secrets.hide("a")
    assert (
        secrets.scrubbed("a table password=a; it can't read data")
        == "*** table password=***; it can't read data"
    )


def test_a_secret_of_several_lines_is_taken_out_line_by_line(secrets: Secrets) -> None:
    """Would catch a private key whose middle line a driver quotes."""
    secrets.hide("-----BEGIN KEY-----\nMIIEvQIBADANBg\nabc\n-----END KEY-----")
    assert "MIIEvQ" not in secrets.scrubbed("bad base64 in line 'MIIEvQIBADANBg'")


def test_secrets_show_nothing_of_themselves(secrets: Secrets) -> None:
    """Would catch a traceback or a log line that prints the object."""
    secrets.hide(CANARY)
    assert "c4nary" not in repr(secrets) + str(secrets)
