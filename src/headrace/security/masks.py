"""The methods of masks: SQL expressions, keyed tokens (HMAC-SHA-256, AES-SIV), shifted dates.

A hash token is `h1v1_` and 32 hexadecimal digits: the first 128 bits of HMAC-SHA-256 over the
value's UTF-8 bytes, with the key of the domain. `h1` names the algorithm, `v1` the key's version.
A reversible token is `s1v1_` and base64url of AES-SIV (RFC 5297) over the same bytes, bound to
domain, table and column. Unicode isn't normalised: NFC and NFD of a name are different values,
and have different tokens. TRUST P3, K6.
"""

from __future__ import annotations

import base64
import re
import secrets
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import msgspec

from headrace.lake.masks import ORDER, ColumnMask, MaskFunction, failure
from headrace.lake.sqltext import literal, quote
from headrace.lake.tables import LakeColumn
from headrace.lake.types import parse
from headrace.model.errors import Refused
from headrace.model.masks import THRESHOLD, DeclaredMask
from headrace.plan.column_limits import ColumnLimits
from headrace.security.keys import DataKey

HASH, SIV = "h1", "s1"
TOKEN_BYTES = 16
"""128 bits: a collision among a billion values has a probability below 10⁻²⁰."""
DIGEST_DIGITS = 64
"""Hexadecimal digits of a whole HMAC-SHA-256."""
REDACTED = "***"
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_HUGE = ("HUGEINT", "UBIGINT", "UHUGEINT")
_TIMES = ("DATE", "TIMESTAMP")

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_REVERSIBLE = re.compile(rf"{SIV}v([1-9][0-9]{{0,8}})_([A-Za-z0-9_-]+)")

KeyOf = Callable[[str, str], DataKey]
"""(domain, purpose) → the data key."""


def column_mask(
    mask: DeclaredMask, column: LakeColumn, columns: Mapping[str, LakeColumn], key_of: KeyOf
) -> ColumnMask | None:
    """Return the mask of a column; None if the method doesn't fit its type.

    `columns` are those of the table, in lower case. Raises KeyProblem if a key can't be had.
    """
    asked = _Asked(_bound(mask), mask.parameters, column, columns, key_of)
    return _METHODS[asked.parameters["method"]](asked)


def fit_masks(
    limits: ColumnLimits, columns: Sequence[LakeColumn], key_of: KeyOf
) -> tuple[frozenset[str], dict[str, ColumnMask]]:
    """Return the columns to leave out, and the masks of the others for a table's columns.

    A mask that doesn't fit its column's type leaves the column out. Raises KeyProblem.
    """
    by_name = {column.name.lower(): column for column in columns}
    left_out = {*limits.left_out, *limits.left_out_of(by_name)}
    masks = {ORDER: ColumnMask("", "")} if limits.ordered else {}
    for name, declared in limits.masks.items():
        mask = column_mask(declared, by_name[name], by_name, key_of) if name in by_name else None
        if mask is None:
            left_out.add(name)
        else:
            masks[name] = mask
    return frozenset(left_out), masks


def fits(mask: DeclaredMask, column: LakeColumn, columns: Mapping[str, LakeColumn]) -> bool:
    """Return whether the method can mask a column of this type; creates no key."""

    def no_key(domain: str, purpose: str) -> DataKey:
        return DataKey(domain, purpose, 1, bytes(32))

    return column_mask(mask, column, columns, no_key) is not None


def hash_function(key: DataKey) -> Callable[[Sequence[bytes]], list[str]]:
    """Return the function from the UTF-8 bytes of values to their hash tokens."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.hmac import HMAC

    started, prefix = HMAC(key.secret, SHA256()).copy, f"{HASH}v{key.version}_"

    def tokens(values: Sequence[bytes]) -> list[str]:
        # the digits of all tokens at once: one by one, it takes a quarter of the time
        digits = b"".join(_digests(started, values)).hex()
        return [
            prefix + digits[at : at + 2 * TOKEN_BYTES]
            for at in range(0, len(digits), DIGEST_DIGITS)
        ]

    return tokens


def _digests(started: Callable[[], Any], values: Sequence[bytes]) -> list[bytes]:
    """Return the HMAC of each value; `started` returns a new one that has the key."""
    digests = []
    for value in values:
        state = started()
        state.update(value)
        digests.append(state.finalize())
    return digests


def token_function(key: DataKey, mask: DeclaredMask) -> Callable[[Sequence[bytes]], list[str]]:
    """Return the function from the UTF-8 bytes of values to their reversible tokens."""
    encrypt, about, prefix = _siv(key).encrypt, _about(mask), f"{SIV}v{key.version}_"

    def tokens(values: Sequence[bytes]) -> list[str]:
        # base64url of all tokens at once, a line each: one by one, it takes a third of the time
        lines = b"".join(map(b2a_base64, map(encrypt, values, repeat(about))))
        return [prefix + line for line in lines.translate(_URL_SAFE, b"=").decode().splitlines()]

    return tokens


def reveal(token: str, mask: DeclaredMask, key_of: KeyOf) -> str:
    """Return the value of a token that the mask has made.

    Raise Refused for text that isn't such a token, or was changed, or is of another column or key.
    Raise KeyProblem if the key can't be had.
    """
    from cryptography.exceptions import InvalidTag

    matched = _REVERSIBLE.fullmatch(token)
    if matched is None:
        raise Refused(
            "this isn't a token that a key reverses: it doesn't have the form s1v1_…",
            hint="the method `token` makes such tokens; those of `hash` (h1v1_…) have no way back",
        )
    bound = _bound(mask)
    key = key_of(bound.domain, "token")
    if int(matched[1]) != key.version:
        raise Refused(
            f"the token was made with version {matched[1]} of the key of {bound.domain[:60]},"
            f" and the key store has version {key.version}",
            hint="is it a token of this project?",
        )
    try:
        sealed = base64.urlsafe_b64decode(matched[2] + "=" * (-len(matched[2]) % 4))
        return str(_siv(key).decrypt(sealed, _about(bound)).decode())
    except (ValueError, InvalidTag):
        # without the cause: it may hold parts of the value
        raise Refused(
            f"the token was changed, or isn't one of {mask.table}.{mask.column}",
            hint="a token is bound to the column that declares the mask; copy it completely",
        ) from None


def _bound(mask: DeclaredMask) -> DeclaredMask:
    """Return the mask with the domain whose key it uses."""
    return msgspec.structs.replace(mask, domain=mask.parameters.get("domain", mask.domain))


def _siv(key: DataKey) -> Any:
    """Return AES-SIV with 512 bits, which are derived from the data key by HKDF."""
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return AESSIV(HKDF(SHA256(), 64, None, b"headrace aes-siv").derive(key.secret))


def _about(mask: DeclaredMask) -> list[bytes]:
    return [part.encode() for part in (mask.domain, mask.table, mask.column)]


def shift_function(key: DataKey, days: int) -> Callable[[Sequence[bytes]], list[int]]:
    """Return the function from subjects to their shifts: ±1 to ±`days`, always the same."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.hmac import HMAC

    started = HMAC(key.secret, SHA256()).copy

    def shifts(values: Sequence[bytes]) -> list[int]:
        drawn = (int.from_bytes(digest[:8]) % (2 * days) for digest in _digests(started, values))
        return [number - days if number < days else number - days + 1 for number in drawn]

    return shifts


class _Asked(NamedTuple):
    """A column that is to be masked, with the other columns of its table in lower case."""

    mask: DeclaredMask
    parameters: Mapping[str, Any]
    column: LakeColumn
    columns: Mapping[str, LakeColumn]
    key_of: KeyOf

    def key(self, purpose: str) -> DataKey:
        """Return the key of the mask's domain."""
        return self.key_of(self.mask.domain, purpose)


def _redact(asked: _Asked) -> ColumnMask:
    column = asked.column
    name = quote(column.name)
    if column.type != "VARCHAR":
        return ColumnMask(f"CAST(NULL AS {column.type})", column.type)
    return ColumnMask(f"CASE WHEN {name} IS NULL THEN NULL ELSE '{REDACTED}' END", "VARCHAR")


def _truncate(asked: _Asked) -> ColumnMask | None:
    column, parameters = asked.column, asked.parameters
    if column.type != "VARCHAR":
        return None
    name, keep = quote(column.name), int(parameters["keep"])
    part = (
        f"'{REDACTED}' || right({name}, {keep})"
        if parameters.get("from") == "end"
        else f"left({name}, {keep}) || '{REDACTED}'"
    )
    # a value that isn't longer than `keep` would stand there in the clear
    return ColumnMask(
        f"CASE WHEN {name} IS NULL THEN NULL WHEN length({name}) <= {keep} THEN '{REDACTED}'"
        f" ELSE {part} END",
        "VARCHAR",
    )


def _generalise(asked: _Asked) -> ColumnMask | None:
    column, parameters = asked.column, asked.parameters
    to, name, kind = parameters["to"], quote(column.name), column.type
    if parse(kind).fields:
        return None
    if isinstance(to, str):
        if not kind.startswith(_TIMES):
            return None
        return _guarded(column, f"CAST(date_trunc({literal(to)}, {name}) AS {kind})", kind)
    if kind in (*_WHOLE, *_HUGE) and isinstance(to, int):
        wide = f"CAST({name} AS HUGEINT)"
        result = "BIGINT" if kind in _WHOLE else "HUGEINT"
        bucket = f"CAST({wide} - (({wide} % {to}) + {to}) % {to} AS {result})"
        return _guarded(column, bucket, result)
    if kind in (*_WHOLE, *_HUGE, "DOUBLE", "FLOAT") or kind.startswith("DECIMAL"):
        wide = f"CAST({name} AS DOUBLE)"
        return _guarded(column, f"floor({wide} / {float(to)!r}) * {float(to)!r}", "DOUBLE")
    return None


def _hash(asked: _Asked) -> ColumnMask:
    column = asked.column
    return _of_function(column, column, "VARCHAR", hash_function(asked.key("hash")))


def _token(asked: _Asked) -> ColumnMask:
    column, function = asked.column, token_function(asked.key("token"), asked.mask)
    return _of_function(column, column, "VARCHAR", function)


def _date_shift(asked: _Asked) -> ColumnMask | None:
    column, parameters = asked.column, asked.parameters
    if not column.type.startswith(_TIMES) or parse(column.type).fields:
        return None
    shift = shift_function(asked.key("date_shift"), int(parameters["days"]))
    by = parameters.get("by")
    if by is None:
        (moved,) = shift([f"{asked.mask.table}.{asked.mask.column}".encode()])
        return _guarded(column, _shifted(column, str(moved)), column.type)
    subject = asked.columns.get(by.lower())
    if subject is None:
        return None
    inner = _of_function(column, subject, "INTEGER", shift, missing="''")
    guarded = _guarded(column, _shifted(column, inner.expression), column.type)
    return msgspec.structs.replace(guarded, function=inner.function, needs=(subject,))


def _threshold(asked: _Asked) -> ColumnMask | None:
    """Return the values of groups with enough people; None if the table doesn't count them."""
    column, parameters = asked.column, asked.parameters
    people = asked.columns.get(parameters["people"].lower())
    if people is None or people.type not in _WHOLE:
        return None
    expression = f"CASE WHEN {quote(people.name)} >= {int(parameters['k'])} THEN"
    return ColumnMask(f"{expression} {quote(column.name)} END", column.type, needs=(people,))


def _shifted(column: LakeColumn, days: str) -> str:
    moved = days if column.type == "DATE" else f"to_days({days})"
    return f"CAST({quote(column.name)} + {moved} AS {column.type})"


def _of_function(
    column: LakeColumn,
    argument: LakeColumn,
    kind: str,
    function: Callable[[Sequence[bytes]], Sequence[Any]],
    *,
    missing: str = "",
) -> ColumnMask:
    """Return a mask by a function of the argument's text; binary values count as base64."""
    # A query of the reader can't call it with values of its own: nothing shows the name.
    name = f"headrace_mask_{secrets.token_hex(16)}"
    cast = quote(argument.name)
    if argument.type == "BLOB":
        cast = f"base64({cast})"
    elif argument.type != "VARCHAR":
        cast = f"CAST({cast} AS VARCHAR)"
    if missing:
        cast = f"coalesce({cast}, {missing})"
    return ColumnMask(f"{name}({cast})", kind, MaskFunction(name, kind, column.name, function))


def _guarded(column: LakeColumn, expression: str, kind: str) -> ColumnMask:
    """Return a mask that fails, without the value, where its expression does."""
    failed = f"CAST(error({literal(failure(column.name))}) AS {kind})"
    name = quote(column.name)
    return ColumnMask(
        f"CASE WHEN {name} IS NULL THEN NULL ELSE coalesce(TRY({expression}), {failed}) END", kind
    )


_METHODS: dict[str, Callable[[_Asked], ColumnMask | None]] = {
    "redact": _redact,
    "truncate": _truncate,
    "generalise": _generalise,
    "hash": _hash,
    "token": _token,
    "date_shift": _date_shift,
    THRESHOLD: _threshold,
}
