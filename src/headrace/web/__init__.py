"""The HTTP server: responses of `services`, webhooks and health probes.

It runs in a thread next to the leader loop and has its own connections, so a slow client never
delays the leader.
"""

from headrace.web.server import HttpServer, listen

__all__ = ["HttpServer", "listen"]
