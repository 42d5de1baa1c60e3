"""What errors of databases mean for a user, and addresses that can't be used."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.model import Settings, StoreError
from headrace.model.errors import StoreUnreachable
from headrace.store import SqliteAddress
from headrace.store.address import PostgresqlAddress, address
from headrace.store.engines.postgresql import literal, meaning
from headrace.store.transaction import translate


@pytest.mark.parametrize(
    ("code", "expected", "kind"),
    [
        ("28P01", "refuses us", StoreError),
        ("3D000", "no such database", StoreError),
        ("42501", "doesn't allow", StoreError),
        ("25006", "can't be written", StoreError),
        ("53100", "disk is full", StoreError),
        ("53200", "out of memory", StoreError),
        ("53300", "no connection left", StoreError),
        ("55P03", "locked by another", StoreError),
        ("57P01", "ended the connection", StoreUnreachable),
        ("40001", "couldn't serialize", StoreError),
        ("XX001", "is damaged", StoreError),
        ("42P01", None, None),
        ("23505", None, None),
    ],
)
def test_errors_of_a_server_say_what_to_do(
    code: str, expected: str | None, kind: type[StoreError] | None
) -> None:
    """Would catch: a traceback where the disk is full; a wrong statement shown as an outage; a
    refusal that is tried again for ever as if the server were away."""
    error = psycopg.errors.lookup(code)("what it said\nDETAIL: the last line")
    result = meaning(psycopg, error, "the place")
    if expected is None:
        assert result is None
        return
    assert result is not None and type(result) is kind and result.hint
    assert "the state database the place " in str(result) and expected in str(result)
    assert "(DETAIL: the last line)" in str(result)


@pytest.mark.parametrize(
    ("words", "expected", "kind"),
    [
        (
            'connection failed: FATAL: password authentication failed for "a"',
            "refuses us",
            StoreError,
        ),
        ("FATAL: no pg_hba.conf entry for host", "refuses us", StoreError),
        ("fe_sendauth: no password supplied", "refuses us", StoreError),
        ('FATAL: database "x" does not exist', "no such database", StoreError),
        ("could not translate host name", "can't be made, or was lost", StoreUnreachable),
        ("", "can't be made, or was lost", StoreUnreachable),
    ],
)
def test_errors_of_connecting_are_told_apart(
    words: str, expected: str, kind: type[StoreError]
) -> None:
    """Would catch: a wrong password for which the server is waited for."""
    result = meaning(psycopg, psycopg.OperationalError(words), "the place")
    assert result is not None and type(result) is kind
    assert expected in str(result) and "the place" in str(result)
    assert meaning(psycopg, psycopg.ProgrammingError("x"), "the place") is None


def _sqlite(code: int, text: str = "words") -> sqlite3.Error:
    error: Any = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (_sqlite(sqlite3.SQLITE_BUSY), "is locked by another process"),
        (_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT), "is locked by another process"),
        (_sqlite(sqlite3.SQLITE_FULL), "the disk is full"),
        (_sqlite(sqlite3.SQLITE_CORRUPT), "is damaged"),
        (_sqlite(sqlite3.SQLITE_IOERR), "the disk reports an error"),
        (_sqlite(sqlite3.SQLITE_READONLY), "can't be written"),
        (_sqlite(sqlite3.SQLITE_ERROR, "no such table: x"), "is damaged: its tables"),
        (_sqlite(sqlite3.SQLITE_ERROR, "table a has no column named b"), "is damaged: its tables"),
        (_sqlite(sqlite3.SQLITE_ERROR, "table a already exists"), "is damaged: its tables"),
        (_sqlite(sqlite3.SQLITE_ERROR, "near x: syntax error"), None),
        (_sqlite(sqlite3.SQLITE_CONSTRAINT, "UNIQUE constraint failed"), None),
        (sqlite3.ProgrammingError("without a code"), None),
    ],
)
def test_errors_of_a_file_say_what_to_do(
    tmp_path: Path, error: sqlite3.Error, expected: str | None
) -> None:
    """Would catch: a wrong statement of ours that a user is told to restore a backup for; a code
    with details that isn't known any more; a full disk that isn't full."""
    result = translate(error, tmp_path / "state.db")
    if expected is None:
        assert result is None
    else:
        assert result is not None and result.hint
        assert f"{tmp_path / 'state.db'} " in str(result) and expected in str(result)
        assert str(error) in str(result)


def test_a_disk_whose_space_isnt_known_is_not_called_full(tmp_path: Path) -> None:
    """Would catch: a second error while the first one is explained."""
    error = _sqlite(sqlite3.SQLITE_CANTOPEN)
    result = translate(error, tmp_path / "gone" / "state.db")
    assert result is not None and "can't be opened" in str(result)


def test_literals_are_texts_whatever_stands_in_them() -> None:
    """Would catch: a schema's name that ends its own text."""
    assert literal("a'b") == "'a''b'"
    assert literal("a\\'b") == " E'a\\\\''b'"


# Addresses


@pytest.mark.parametrize(
    ("parameters", "label"),
    [
        (
            {"host": "h", "port": "5", "user": "u", "password": "p", "dbname": "d"},
            "postgresql://u@h:5/d (schema s)",
        ),
        ({"hostaddr": "10.0.0.1", "dbname": "d"}, "postgresql://10.0.0.1/d (schema s)"),
        ({}, "postgresql:/// (schema s)"),
    ],
)
def test_a_label_has_what_is_known_and_no_password(parameters: dict[str, str], label: str) -> None:
    """Would catch: a password in a message; a port of nothing."""
    assert PostgresqlAddress(parameters, "s", Path("/p")).label == label


def test_a_reference_is_resolved_before_it_is_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch: a reference taken for a path; a resolver that is left out, or asked for the
    address of a file."""
    monkeypatch.setenv("URL", "sqlite:there/state.db")
    there = address(Path("/p"), Settings(name="t", store_url="${URL}"))
    assert there == SqliteAddress(Path("/p/there/state.db"))

    def resolve(value: Any) -> Any:
        return str(value).replace("secret://file/db", "postgresql://u@h/d")

    resolved = address(Path("/p"), Settings(name="t", store_url="secret://file/db"), resolve)
    assert isinstance(resolved, PostgresqlAddress)
    assert resolved.parameters == {"user": "u", "host": "h", "dbname": "d"}
    assert resolved.folder == Path("/p/.headrace")
    monkeypatch.delenv("URL")
    with pytest.raises(StoreError, match="variable URL, which isn't set"):
        address(Path("/p"), Settings(name="t", store_url="${URL}"))


def test_an_address_that_cant_be_read_is_not_printed() -> None:
    """Would catch: a password in the message about a bad address."""
    with pytest.raises(StoreError, match="no PostgreSQL address") as caught:
        address(Path("/p"), Settings(name="t", store_url="postgresql://u:s3cret@h:port?x=%zz"))
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"


def test_a_schema_with_too_long_a_name_is_refused() -> None:
    """Would catch: two environments in one schema, because PostgreSQL cuts long names."""
    url = "postgresql://h/d"
    longest = Settings(name="t", store_url=url, store_schema="s" * 58)
    fitting = address(Path("/p"), longest)
    assert isinstance(fitting, PostgresqlAddress) and len(fitting.lake_schema) == 63
    with pytest.raises(StoreError, match="too long a name"):
        address(Path("/p"), Settings(name="t", store_url=url, store_schema="s" * 59))
    environment = Settings(name="t", store_url=url, store_schema="s" * 55, environment="dev")
    with pytest.raises(StoreError, match="too long a name"):
        address(Path("/p"), environment)
