"""Documents of `notify`."""

from __future__ import annotations

from datetime import datetime

from headrace.operations.responses import Response


class NotifyRow(Response, frozen=True, kw_only=True):
    """`notify`: one owner over one contact, as declared. `told` is who is written to for it (a vendor's manager), null where nobody is;
    `wrong` says why that contact can't be written to. `sent`, `last_at`, `undelivered` (given up, or tried in vain until now) and `error`
    are of the messages of the last 30 days. Of `notify test` only: `state` (`ok`, `failed`, `skipped`), `seconds`, `error`."""

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
