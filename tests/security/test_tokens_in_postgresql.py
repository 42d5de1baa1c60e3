"""Tokens of the mask `hash`, computed by PostgreSQL from the value and the key."""

from __future__ import annotations

import random
import secrets
from pathlib import Path

from postgres_cluster import Database
from test_masks import TEXTS, masked

from headrace.security.keys import KeyStore
from headrace.security.masks import hash_function

BLOCK_BYTES = 64
HMAC = (
    "select 'h1v1_' || left(encode(sha256(%(outer)s || sha256(%(inner)s || convert_to(value,"
    " 'UTF8'))), 'hex'), 32) from unnest(%(values)s::text[]) with ordinality as t(value, n)"
    " order by n"
)
"""HMAC-SHA-256 by its definition (RFC 2104), so that no code of ours or of Python's is in it."""


def test_postgresql_computes_the_same_tokens(tmp_path: Path, postgresql: Database) -> None:
    """Would catch: a token that depends on an engine's encoding, normal form or treatment of empty
    and missing values (P3)."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    drawn = random.Random(seed)
    alphabet = "aZ09 \t\n'\"\\%_ée\u0301ß中\u200d𝄞😀\U0010ffff"
    texts = [text for text in TEXTS if "\0" not in text]  # no text of PostgreSQL has it
    texts += ["".join(drawn.choices(alphabet, k=drawn.randrange(30))) for _ in range(20_000)]
    values = [*texts, None]
    key = KeyStore(tmp_path, tmp_path, {}).data_key("finance", "hash")
    padded = key.secret.ljust(BLOCK_BYTES, b"\0")
    parameters = {
        "inner": bytes(byte ^ 0x36 for byte in padded),
        "outer": bytes(byte ^ 0x5C for byte in padded),
        "values": values,
    }
    in_postgresql = [token for (token,) in postgresql.rows(HMAC, parameters)]
    assert in_postgresql == [*hash_function(key)([text.encode() for text in texts]), None]
    sample = [*values[:2_000], None]
    in_duckdb = masked(tmp_path, "VARCHAR", sample, method="hash")
    assert in_duckdb == [*in_postgresql[:2_000], None]
