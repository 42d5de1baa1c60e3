"""A small API to try the example with: two days of readings, two a page, behind a token."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

STATIONS = "station_id,district\n1,North\n2,North\n3,Harbour\n"
DAYS = ("2026-03-01", "2026-03-02")
TOKEN = os.environ.get("STATIONS_TOKEN", "let-me-in")


def readings(day: str) -> list[dict[str, object]]:
    """Five readings of a day; none of days that aren't over."""
    if day not in DAYS:
        return []
    step = DAYS.index(day) + 1
    return [
        {"station_id": n % 3 + 1, "measured_at": f"{day}T{n:02}:00:00Z", "pm10": 10.5 * step + n}
        for n in range(5)
    ]


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        if asked.path == "/v1/stations.csv":
            self.stations()
        elif asked.path != "/v1/readings":
            self.reply(404, "application/json", "{}")
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.reply(401, "application/json", '{"error": "unknown token"}')
        else:
            self.page(query)

    def stations(self) -> None:
        if self.headers.get("If-None-Match") == '"stations-1"':
            self.send_response(304)
            self.end_headers()
        else:
            self.reply(200, "text/csv", STATIONS, ETag='"stations-1"')

    def page(self, query: dict[str, str]) -> None:
        found = readings(query.get("day", ""))
        if not found:
            self.reply(404, "application/json", '{"error": "no such day"}')
            return
        first, size = int(query.get("after", 0)), int(query.get("limit", 100))
        after = first + size
        meta = {"next": str(after) if after < len(found) else None}
        self.reply(
            200, "application/json", json.dumps({"readings": found[first:after], "meta": meta})
        )

    def reply(self, status: int, kind: str, text: str, **headers: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Api).serve_forever()
