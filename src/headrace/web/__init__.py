"""The door of a server: documents of `operations` over HTTP, webhooks, probes and metrics.

It runs in a thread beside the leader, with connections of its own; whatever a client does, the leader's loop goes on.
"""

from headrace.web.server import HttpServer, listen

__all__ = ["HttpServer", "listen"]
