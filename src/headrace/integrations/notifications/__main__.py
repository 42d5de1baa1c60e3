"""`python -m headrace.integrations.notifications`: sends waiting notifications and exits.

It reads its `NotifierConfig` from standard input.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from headrace.integrations.notifications.channels import Sending
from headrace.integrations.notifications.process import NotifierConfig
from headrace.security.state import open_state


def main() -> None:
    """Send, then exit at once: nothing waits for a thread that hangs."""
    errand = msgspec.json.decode(sys.stdin.buffer.read(), type=NotifierConfig)
    try:
        with open_state(Path(errand.root), errand.settings) as store:
            Sending(store, Path(errand.root), errand.settings).all()
    finally:
        os._exit(0)


main()
