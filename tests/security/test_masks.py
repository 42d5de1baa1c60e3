"""Methods of masks: known answers, equal tokens in every engine, and speed with repeated values."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from headrace.lake import masked_queries
from headrace.lake.masked_queries import masked_relation
from headrace.lake.masks import ColumnMask, MaskFunction, mask_failure
from headrace.lake.tables import LakeColumn
from headrace.model.masks import DeclaredMask
from headrace.security.keys import KeyStore
from headrace.security.masks import column_mask, hash_function, shift_function

TEXTS = ["", "a", "Ärger", "A\u0308rger", "𝄞 clef", "x" * 5_000, "1'; drop table t; --", "\0"]
"""Empty, NFC and NFD of one word, four bytes in UTF-8, long, and hostile."""


def masked(tmp_path: Path, kind: str, values: list[Any], **mask: Any) -> list[Any] | None:
    """Return the masked values of a column `c`, in order; None if the method doesn't fit."""
    column = LakeColumn("c", kind, 1)
    declared = DeclaredMask(msgspec.json.encode(mask).decode(), "finance", "people", "c")
    store = KeyStore(tmp_path, tmp_path, {})
    made = column_mask(declared, column, {"c": column}, store.data_key)
    if made is None:
        return None
    with duckdb.connect() as connection:
        connection.execute(f"create table t (n integer, c {kind})")
        connection.executemany("insert into t values (?, ?)", list(enumerate(values)))
        path = tmp_path / "t.parquet"
        connection.execute(f"copy (from t) to '{path}'")
        masked_relation(connection, (), [column], {"c": made})
        rows = connection.execute(f"select {made.expression} from '{path}' order by n").fetchall()
    return [row[0] for row in rows]


def test_a_hash_token_is_hmac_sha_256_in_every_engine(tmp_path: Path) -> None:
    """Would catch: a token that another program can't compute from value and key (P3)."""
    key = KeyStore(tmp_path, tmp_path, {}).data_key("finance", "hash")
    expected = [
        f"h1v1_{hmac.new(key.secret, text.encode(), hashlib.sha256).hexdigest()[:32]}"
        for text in TEXTS
    ]
    assert masked(tmp_path, "VARCHAR", [*TEXTS, None], method="hash") == [*expected, None]
    assert hash_function(key)([text.encode() for text in TEXTS]) == expected
    assert len(set(expected)) == len(TEXTS), "NFC and NFD are different values"
    other = masked(tmp_path, "VARCHAR", TEXTS, method="hash", domain="sales")
    assert other is not None and not {*other} & {*expected}
    numbers = masked(tmp_path, "BIGINT", [12, None], method="hash")
    assert numbers == [*hash_function(key)([b"12"]), None]


def test_aes_siv_gives_the_answers_of_the_rfc() -> None:
    """Would catch: another construction than RFC 5297, A.1 and A.2 (K6)."""
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    about = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    sealed = AESSIV(key).encrypt(bytes.fromhex("112233445566778899aabbccddee"), [about])
    assert sealed.hex() == "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"
    key = bytes.fromhex("7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f")
    about_all = [
        bytes.fromhex(
            "00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100"
        ),
        bytes.fromhex("102030405060708090a0"),
        bytes.fromhex("09f911029d74e35bd84156c5635688c0"),
    ]
    text = b"this is some plaintext to encrypt using SIV-AES"
    assert AESSIV(key).encrypt(text, about_all).hex() == (
        "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8a"
        "f829ea64ad544a272e9c485b62a3fd5c0d"
    )


def test_a_reversible_token_is_deterministic_and_of_its_column(tmp_path: Path) -> None:
    """Would catch: tokens that can't be joined, or that say the same in two columns (P3, K6)."""
    first = masked(tmp_path, "VARCHAR", [*TEXTS, None], method="token")
    assert first is not None and first[-1] is None and len(set(first)) == len(TEXTS) + 1
    assert first == masked(tmp_path, "VARCHAR", [*TEXTS, None], method="token")
    assert all(token.startswith("s1v1_") for token in first[:-1])
    assert not [text for text in TEXTS[2:] if any(text in token for token in first[:-1])]
    key = KeyStore(tmp_path, tmp_path, {}).data_key("finance", "token")
    siv = AESSIV(HKDF(SHA256(), 64, None, b"headrace aes-siv").derive(key.secret))
    sealed = [siv.encrypt(text.encode(), [b"finance", b"people", b"c"]) for text in TEXTS]
    expected = [f"s1v1_{urlsafe_b64encode(value).decode().rstrip('=')}" for value in sealed]
    assert first == [*expected, None]


@pytest.mark.parametrize("limit", [4, 1_000, 1 << 17])
@pytest.mark.parametrize("people", [3, 900, 50_000])
def test_tokens_are_the_same_however_many_values_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, people: int
) -> None:
    """Would catch: a token that is another row's, or missing, when a read forgets results, stops
    remembering them, or computes them in two threads."""
    monkeypatch.setattr(masked_queries, "REMEMBERED_VALUES_MAX", limit)
    key = KeyStore(tmp_path, tmp_path, {}).data_key("finance", "hash")
    column = LakeColumn("c", "VARCHAR", 1)
    declared = DeclaredMask('{"method":"hash"}', "finance", "people", "c")
    mask = column_mask(declared, column, {"c": column}, lambda domain, purpose: key)
    assert mask is not None
    with duckdb.connect(config={"threads": 2}) as connection:
        # in no order: DuckDB hands over values one by one, and not a column's dictionary
        connection.execute(
            f"create table t as select 'p' || (hash(range) % {people}) as c from range(300000)"
        )
        masked_relation(connection, (), [column], {"c": mask})
        rows = connection.execute(
            f"select c, min({mask.expression}), max({mask.expression}),"
            f" count({mask.expression}) = count(*) from t group by c"
        ).fetchall()
    values = [row[0] for row in rows]
    tokens = hash_function(key)([value.encode() for value in values])
    assert rows == [
        (value, token, token, True) for value, token in zip(values, tokens, strict=True)
    ]


@pytest.mark.parametrize(
    ("kind", "mask", "values", "expected"),
    [
        ("VARCHAR", {"method": "redact"}, ["a", "", None], ["***", "***", None]),
        ("INTEGER", {"method": "redact"}, [1, None], [None, None]),
        ("VARCHAR", {"method": "truncate", "keep": 2}, ["DE12", "DE", "D", None, "𝄞𝄞𝄞"],
         ["DE***", "***", "***", None, "𝄞𝄞***"]),
        ("VARCHAR", {"method": "truncate", "keep": 2, "from": "end"}, ["DE12"], ["***12"]),
        ("INTEGER", {"method": "truncate", "keep": 2}, [1], None),
        ("INTEGER", {"method": "generalise", "to": 10}, [17, -1, 0, None, 20], [10, -10, 0, None, 20]),
        ("TINYINT", {"method": "generalise", "to": 10}, [-128], [-130]),
        ("DOUBLE", {"method": "generalise", "to": 0.5}, [1.7, -0.1], [1.5, -0.5]),
        ("DECIMAL(18,2)", {"method": "generalise", "to": 100}, [250.75], [200.0]),
        ("DATE", {"method": "generalise", "to": "month"}, [date(2024, 2, 29)], [date(2024, 2, 1)]),
        ("DATE", {"method": "generalise", "to": "year"}, [date(2024, 2, 29)], [date(2024, 1, 1)]),
        ("VARCHAR", {"method": "generalise", "to": 10}, ["x"], None),
        ("VARCHAR", {"method": "date_shift", "days": 3}, ["2024-01-01"], None),
        ("DATE", {"method": "date_shift", "days": 3, "by": "nosuch"}, [date(2024, 1, 1)], None),
    ],
)  # fmt: skip
def test_methods_mask_and_keep_null(
    tmp_path: Path, kind: str, mask: dict[str, Any], values: list[Any], expected: list[Any] | None
) -> None:
    """Would catch: a short value in the clear, a bucket's wrong side, a null that becomes a value,
    a method that is applied to a type that it doesn't fit."""
    assert masked(tmp_path, kind, values, **mask) == expected


def test_a_shift_is_the_same_for_a_subject_and_never_zero(tmp_path: Path) -> None:
    """Would catch: dates in the clear, intervals of one person that change, a shift out of range."""
    key = KeyStore(tmp_path, tmp_path, {}).data_key("finance", "date_shift")
    shift = shift_function(key, 5)
    subjects = [str(number).encode() for number in range(2_000)]
    drawn = shift(subjects)
    assert {*drawn} == {-5, -4, -3, -2, -1, 1, 2, 3, 4, 5}
    assert drawn == shift(subjects)
    days = [date(2024, 1, 1), date(2024, 1, 31), None]
    shifted = masked(tmp_path, "DATE", days, method="date_shift", days=30)
    assert shifted is not None and shifted[2] is None
    assert (shifted[1] - shifted[0]).days == 30 and 0 < abs((shifted[0] - days[0]).days) <= 30


def test_a_value_that_cannot_be_masked_is_not_in_the_error(tmp_path: Path) -> None:
    """Would catch: the value in the message of a mask that fails on it (P4)."""
    with pytest.raises(duckdb.Error) as caught:
        masked(tmp_path, "BIGINT", [5, -(2**63)], method="generalise", to=10)
    refusal = mask_failure(caught.value)
    assert refusal is not None and '"c" failed on a value' in str(refusal)
    assert str(2**63) not in str(caught.value)
    secret = secrets.token_hex(8)

    def fails(values: Sequence[bytes]) -> list[str]:
        raise ValueError(values)

    column = LakeColumn("c", "VARCHAR", 1)
    mask = ColumnMask("f(c)", "VARCHAR", MaskFunction("f", "VARCHAR", "c", fails))
    with duckdb.connect() as connection:
        masked_relation(connection, (), [column], {"c": mask})
        with pytest.raises(duckdb.Error) as raised:
            connection.execute(f"select f('{secret}' || range::varchar) from range(3)").fetchall()
    assert mask_failure(raised.value) is not None and secret not in str(raised.value)
    assert raised.value.__cause__ is None
