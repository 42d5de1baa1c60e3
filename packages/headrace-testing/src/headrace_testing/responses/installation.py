"""The responses of `doctor`, `connections` and `notify`."""

from __future__ import annotations

from datetime import datetime

from headrace.extension import Response


class ExaminationRow(Response, frozen=True, kw_only=True):
    """`doctor`: one examination. `state` is `ok`, `warn`, `fail` or `skipped`."""

    area: str
    name: str
    state: str
    detail: str
    todo: str | None = None
    """What to do about it."""


class ConnectionRow(Response, frozen=True, kw_only=True):
    """`connections`: one connection. `kind` is null where it is known only once a secret is
    resolved; `used_by` names sources, consumers and `store`. Of `connections test` only: `state`
    (`ok`, `failed`, `skipped`), `seconds`, and of a failure `code`, `error`, `hint`."""

    name: str
    kind: str | None
    used_by: list[str]
    state: str | None = None
    seconds: float | None = None
    code: str | None = None
    error: str | None = None
    hint: str | None = None


class NotifyRow(Response, frozen=True, kw_only=True):
    """`notify`: one owner over one contact, as declared. `told` is who is written to for it (a
    vendor's manager), null where nobody is; `wrong` says why that contact can't be written to.
    `sent`, `last_at`, `undelivered` (given up, or tried in vain until now) and `error` are of the
    messages of the last 30 days. Of `notify test` only: `state` (`ok`, `failed`, `skipped`),
    `seconds`, `error`."""

    owner: str
    told: str | None
    contact: str | None
    wrong: str | None = None
    quiet: str | None = None
    escalate: str | None = None
    digest: str | None = None
    sent: int = 0
    last_at: datetime | None = None
    undelivered: int = 0
    state: str | None = None
    seconds: float | None = None
    error: str | None = None
