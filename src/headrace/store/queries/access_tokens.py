"""API tokens: their names, hashes, roles and expiry."""

from __future__ import annotations

from typing import NamedTuple

from headrace.store.transaction import Transaction

ACTOR_PREFIX = "token:"
"""Begins the name that the audit trail has for a token."""


class AccessToken(NamedTuple):
    """A token; times are in microseconds since 1970 UTC. `grants` is JSON text."""

    id: int
    name: str
    grants: str
    created_at: int
    created_by: str
    expires_at: int
    revoked_at: int | None

    def valid(self, now_us: int) -> bool:
        """Whether the token may be used at this time."""
        return self.revoked_at is None and now_us < self.expires_at


_COLUMNS = "id, name, grants, created_at, created_by, expires_at, revoked_at"


def add(
    tx: Transaction,
    *,
    name: str,
    token_hash: str,
    grants: str,
    now_us: int,
    created_by: str,
    expires_at: int,
) -> AccessToken:
    """Store a new token."""
    tx.execute(
        "insert into access_token (name, hash, grants, created_at, created_by, expires_at)"
        " values (?, ?, ?, ?, ?, ?)",
        (name, token_hash, grants, now_us, created_by, expires_at),
    )
    token = by_hash(tx, token_hash)
    assert token is not None
    return token


def by_hash(tx: Transaction, token_hash: str) -> AccessToken | None:
    """Return the token with this hash, valid or not."""
    row = tx.execute(
        f"select {_COLUMNS} from access_token where hash = ?", (token_hash,)
    ).fetchone()
    return None if row is None else AccessToken(*row)


def every(tx: Transaction) -> list[AccessToken]:
    """Return all tokens, the newest first."""
    rows = tx.execute(f"select {_COLUMNS} from access_token order by id desc")
    return [AccessToken(*row) for row in rows]


def creators(tx: Transaction, actor: str) -> list[str]:
    """Return who created the tokens that have had an actor's name, revoked ones as well.

    Where that is a token, its creators are among them: it is how a person made the other one.
    """
    by_actor: dict[str, list[str]] = {}
    for token in every(tx):
        by_actor.setdefault(f"{ACTOR_PREFIX}{token.name}", []).append(token.created_by)
    names: dict[str, None] = {}
    waiting = [actor]
    while waiting:
        new = [name for name in by_actor.get(waiting.pop(), ()) if name not in names]
        names.update(dict.fromkeys(new))
        waiting += new
    return list(names)


def revoke(tx: Transaction, token_id: int, now_us: int) -> None:
    """Revoke a token."""
    tx.execute("update access_token set revoked_at = ? where id = ?", (now_us, token_id))
