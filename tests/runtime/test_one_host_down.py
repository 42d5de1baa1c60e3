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
@pytest.mark.parametrize("how", ["no answer", "503 of both", "503 of one", "503 in turn"])
def test_two_sources_of_a_host(tmp_path: Path, how: str) -> None:
    """Would catch: two incidents of one host that is down, because it serves only two sources; two
    sources that fail for themselves taken for one; a consumer of the second that isn't affected;
    "Headrace does it by itself", of a host that somebody has to start; "also open: 1 source
    unreachable", of the second source of that host."""
    lab = Lab(tmp_path / "p")
    (lab.root / "sources/orders.yaml").unlink()
    (folder := lab.root / "served").mkdir()
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
    Files.refuses |= {"south"} if how == "503 in turn" else set()
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
@pytest.mark.parametrize("owners", [["acme"] * 4, ["acme", "bolt", "core", "dune"]])
def test_a_host_that_comes_back_without_its_files(tmp_path: Path, owners: list[str]) -> None:
    """Would catch: a second incident of three of four sources, "found 47 h later", once their host
    answers again without the files of the days in which it didn't; "look at the server", of a
    server that answers; one that is over while the files are still missing."""
    lab = Lab(tmp_path / "p")
    (lab.root / "sources/orders.yaml").unlink()
    folder = lab.root / "served"
    folder.mkdir()
    server = served(folder)
    names = ["east", "north", "south", "west"]
    lab.write("owners.yaml", "".join(f"{owner}: {{kind: vendor}}\n" for owner in {*owners, "core"}))
    consumers = []
    for name, owner in zip(names, owners, strict=True):
        url = f"http://127.0.0.1:{server.server_port}/{name}_{{date:%Y-%m-%d}}.csv"
        declared = f"source: {name}\nowner: {owner}\npartition: day\nhttp: {url}\n"
        lab.write(f"sources/{name}.yaml", declared + "expect: {by: '05:00'}\n")
        lab.sql(f"of_{name}", f"select id, day from {name}")
        consumers.append(
            f"- {{consumer: c_{name}, owner: core, reads: [of_{name}], due: '07:00'}}\n"
        )
    lab.write("consumers.yaml", "".join(consumers))

    def pass_at(time: str, *days: str, down: bool = False) -> None:
        for name in names:
            for day in days:
                (folder / f"{name}_{day}.csv").write_text(f"id,day\n1,{day}\n")
        Files.refuses = set(names) if down else set()
        lab.now = datetime.fromisoformat(f"2025-01-{time}:00+00:00")
        lab.tick()

    pass_at("07T04:30", "2025-01-06")
    for time in ("08T04:30", "08T08:00", "09T04:30", "09T08:00"):
        pass_at(time, down=True)
    (down,) = lab.headrace("incidents")
    pass_at("10T04:30", "2025-01-09")
    (back,) = lab.headrace("incidents")
    assert [back["id"], back["began_at"], back["detect_seconds"]] == [
        down["id"],
        down["began_at"],
        down["detect_seconds"],
    ]
    assert (down["cause"]["kind"], back["cause"]["kind"]) == (
        "source_unavailable",
        "missing_source",
    )
    assert back["affected"]["consumers"] == [f"c_{name}" for name in names]
    assert "as soon as the file comes" in back["repair"]["text"]
    pass_at("10T08:30", "2025-01-07", "2025-01-08")
    (over,) = lab.headrace("incidents", "--all")
    assert (over["state"], over["restored_at"]) == ("resolved", over["resolved_at"])
    said = [line["what"] for line in lab.headrace("incident", over["id"])["timeline"]]
    assert [line for line in said if line.startswith("it can be read again")] == [
        "it can be read again; deliveries that were due meanwhile are missing: 4 nodes: 8 intervals not there"
    ]
    server.shutdown()
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
