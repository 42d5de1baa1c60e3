"""Documents as JSON: the same bytes for `--json` and over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec


def encoded(response: Any) -> bytes:
    """A document as JSON. File names that aren't UTF-8 become lone escapes, which JSON can hold."""
    try:
        return msgspec.json.encode(response)
    except UnicodeEncodeError:
        import json

        return json.dumps(msgspec.to_builtins(response)).encode()
