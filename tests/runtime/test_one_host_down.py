"""A host that doesn't answer is one cause, however many sources it serves and whenever each is
looked at."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from runlab import Lab
from source_packages import NEEDS_HTTP

pytestmark = NEEDS_HTTP


class Files(SimpleHTTPRequestHandler):
    """Serves a folder, unless it is told to refuse."""

    refuses: set[str] = set()  # noqa: RUF012 - shared by all requests of a server, as the name says

    def do_GET(self) -> None:
        if any(part in self.path for part in self.refuses):
            self.send_error(503)
            return
        super().do_GET()

    do_HEAD = do_GET  # noqa: N815 - http.server names it so

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def served(folder: Path) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.mark.long
@pytest.mark.parametrize("how", ["no answer", "503 of both", "503 of one"])
def test_two_sources_of_a_host(tmp_path: Path, how: str) -> None:
    """Would catch: two incidents of one host that is down, because it serves only two sources; two
    sources that fail for themselves taken for one; a consumer of the second that isn't affected;
    "Headrace does it by itself", of a host that somebody has to start; "also open: 1 source
    unreachable", of the second source of that host."""
    lab = Lab(tmp_path / "p")
    (lab.root / "sources/orders.yaml").unlink()
    folder = lab.root / "served"
    folder.mkdir()
    server = served(folder)
    Files.refuses = set()
    consumers = []
    for name in ("north", "south"):
        url = f"http://127.0.0.1:{server.server_port}/{name}_{{date:%Y-%m-%d}}.csv"
        declared = f"source: {name}\nowner: acme\npartition: day\nhttp: {url}\n"
        lab.write(f"sources/{name}.yaml", declared + "expect: {by: '05:00'}\n")
        lab.sql(f"of_{name}", f"select id, day from {name}")
        consumers.append(
            f"- {{consumer: c_{name}, owner: core, reads: [of_{name}], due: '07:00'}}\n"
        )
        (folder / f"{name}_2025-01-08.csv").write_text("id,day\n1,2025-01-08\n")
    lab.write("consumers.yaml", "".join(consumers))
    lab.now = datetime.fromisoformat("2025-01-09T04:30:00+00:00")
    lab.tick()
    if how == "no answer":
        server.shutdown()
        server.server_close()
    else:
        Files.refuses = {"north", "south"} if how == "503 of both" else {"north"}
    lab.now += timedelta(days=1)
    lab.tick()
    lab.now += timedelta(hours=4)
    lab.tick()
    rows = lab.headrace("incidents")
    result = {
        row["cause"]["node"]: (row["cause"]["kind"], row["affected"]["consumers"]) for row in rows
    }
    status = lab.headrace("status")
    assert [item["name"] for item in status["consumers"] if item["state"] == "late"] == [
        "c_north",
        "c_south",
    ]
    assert "unreachable" not in status["headline"], "it is the cause that they wait for"
    Files.refuses = set()
    (repair,) = [row["repair"] for row in rows if row["cause"]["kind"] == "source_unavailable"]
    assert repair["automatic"]
    assert (
        repair["text"]
        == "look at the server or the folder that north needs, for which acme answers; Headrace"
        " goes on by itself as soon as it can be reached"
    )
    if how == "503 of one":
        assert result == {
            "north": ("source_unavailable", ["c_north"]),
            "south": ("missing_source", ["c_south"]),
        }
    else:
        assert result == {"north": ("source_unavailable", ["c_north", "c_south"])}
        server.server_close()


@pytest.mark.long
def test_two_sources_of_a_folder_that_is_gone(tmp_path: Path) -> None:
    """Would catch: two vendors who are said to be late, because a disk of ours isn't mounted."""
    lab = Lab(tmp_path / "p")
    (lab.root / "sources/orders.yaml").unlink()
    consumers = []
    for name in ("north", "south"):
        declared = (
            f"source: {name}\nowner: acme\npartition: day\nfiles:"
            f" landing/{name}_{{date:%Y-%m-%d}}.csv\n"
        )
        lab.write(f"sources/{name}.yaml", declared + "expect: {by: '05:00'}\n")
        lab.sql(f"of_{name}", f"select id, day from {name}")
        consumers.append(
            f"- {{consumer: c_{name}, owner: core, reads: [of_{name}], due: '07:00'}}\n"
        )
        (lab.root / f"landing/{name}_2025-01-08.csv").write_text("id,day\n1,2025-01-08\n")
    lab.write("consumers.yaml", "".join(consumers))
    lab.now = datetime.fromisoformat("2025-01-09T04:30:00+00:00")
    lab.tick()
    (lab.root / "landing").rename(lab.root / "elsewhere")
    for clock in ("04:30", "08:00"):
        lab.now = datetime.fromisoformat(f"2025-01-10T{clock}:00+00:00")
        lab.tick()
    (incident,) = lab.headrace("incidents")
    assert (incident["cause"]["kind"], incident["affected"]["consumers"]) == (
        "source_unavailable",
        ["c_north", "c_south"],
    )
    assert "landing isn't there any more" in incident["cause"]["summary"]
    (lab.root / "elsewhere").rename(lab.root / "landing")
    for name in ("north", "south"):
        (lab.root / f"landing/{name}_2025-01-09.csv").write_text("id,day\n2,2025-01-09\n")
    lab.now = datetime.fromisoformat("2025-01-10T09:00:00+00:00")
    lab.tick()
    assert [item["state"] for item in lab.headrace("incidents", "--all")] == ["resolved"]
