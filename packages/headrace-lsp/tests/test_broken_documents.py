"""Editors that send what doesn't fit, projects that aren't any, and files that are hostile."""

from __future__ import annotations

from pathlib import Path

import pytest
from edited_shop import FILES, edited_shop
from editor import Editor, editing
from lsprotocol import types

CLEAN = "assets/clean.sql"


def test_a_change_of_an_older_version_is_left_out(editor: Editor) -> None:
    """Would catch: a text that goes back because two changes overtook each other."""
    editor.open(CLEAN)
    editor.type(CLEAN, "o.amount", "o.amont")
    editor.problems(CLEAN, until=bool)
    editor.change(CLEAN, types.TextDocumentContentChangeWholeDocument("select"), version=1)
    editor.change(CLEAN, types.TextDocumentContentChangeWholeDocument("select"), version=-5)
    editor._versions[CLEAN] = 2
    editor.type(CLEAN, "o.customer", "o.custom")
    assert editor.problems(CLEAN) == ["7: unknown_column: amont", "7: unknown_column: custom"]


def test_places_beyond_the_end_are_the_end(editor: Editor) -> None:
    """Would catch: `pygls`, which puts them before the last character, or fails."""
    editor.open(CLEAN)
    far = types.Position(6, 10_000)
    editor.texts[CLEAN] = editor.texts[CLEAN].replace("as price\n", "as price, wrong\n")
    editor.change(CLEAN, types.TextDocumentContentChangePartial(types.Range(far, far), ", wrong"))
    assert editor.problems(CLEAN, until=bool) == ["7: unknown_column: wrong"]
    end = types.Position(10_000, 0)
    editor.texts[CLEAN] += "-- the end"
    editor.change(
        CLEAN, types.TextDocumentContentChangePartial(types.Range(end, end), "-- the end")
    )
    assert editor.problems(CLEAN, until=bool) == ["7: unknown_column: wrong"]
    editor.type(CLEAN, ", wrong", "")
    assert editor.problems(CLEAN) == []


def test_a_range_that_ends_before_it_begins_is_turned_around(editor: Editor) -> None:
    editor.open(CLEAN)
    start, end = editor.place(CLEAN, "|o.amount"), editor.place(CLEAN, "o.amount|")
    editor.texts[CLEAN] = editor.texts[CLEAN].replace("o.amount", "o.nothing")
    editor.change(
        CLEAN, types.TextDocumentContentChangePartial(types.Range(end, start), "o.nothing")
    )
    assert editor.problems(CLEAN, until=bool) == ["7: unknown_column: nothing"]


@pytest.mark.parametrize("filler", ["😀", "é", "\u2028", "\x85"], ids=ascii)
def test_characters_are_counted_as_the_protocol_does(editor: Editor, filler: str) -> None:
    """Would catch: code points for units of UTF-16, and lines that only Python ends there."""
    editor.open(CLEAN)
    editor.type(CLEAN, "upper(o.customer)", f"'{filler}' || upper(o.customer)")
    editor.type(CLEAN, "o.amount", "o.amont")
    assert editor.problems(CLEAN, until=bool) == ["7: unknown_column: amont"]
    assert "orders.customer" in editor.hover(CLEAN, "upper(o.cust|omer)")


def test_an_editor_that_counts_bytes_gets_bytes(tmp_path: Path) -> None:
    """Neovim 0.7 asks for UTF-16, newer ones for UTF-8 as well."""
    general = types.GeneralClientCapabilities(
        position_encodings=[types.PositionEncodingKind.Utf8, types.PositionEncodingKind.Utf16]
    )
    with editing(edited_shop(tmp_path), types.ClientCapabilities(general=general)) as editor:
        text = FILES[CLEAN].replace("upper(o.customer)", "'é' || o.custom")
        editor.open(CLEAN, text)
        editor.problems(CLEAN, until=bool)
        [wrong] = next(
            item.diagnostics for item in reversed(editor._news) if item.uri == editor.uri(CLEAN)
        )
        line = text.split("\n")[6].encode()
        part = line[wrong.range.start.character : wrong.range.end.character]
        assert part == b"custom"


def test_lines_that_end_with_cr_lf_have_their_places(editor: Editor) -> None:
    editor.open(CLEAN, FILES[CLEAN].replace("\n", "\r\n").replace("o.amount", "o.amont"))
    assert editor.problems(CLEAN) == ["7: unknown_column: amont"]


def test_changes_of_what_isnt_open_are_left_out(editor: Editor) -> None:
    editor.change("assets/nothing.sql", types.TextDocumentContentChangeWholeDocument("x"))
    params = types.DidCloseTextDocumentParams(
        types.TextDocumentIdentifier(editor.uri("assets/nothing.sql"))
    )
    editor.send(lambda: editor.client.text_document_did_close(params))
    editor.open(CLEAN)
    assert editor.problems(CLEAN) == []
    assert editor.messages == []


def test_a_closed_document_is_its_file_again(editor: Editor) -> None:
    """Would catch: problems that stay because their text isn't forgotten."""
    editor.open(CLEAN)
    editor.open("assets/best.sql")
    editor.type(CLEAN, "as price", "as cost")
    assert editor.problems("assets/best.sql", until=bool)
    params = types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(editor.uri(CLEAN)))
    editor.send(lambda: editor.client.text_document_did_close(params))
    assert editor.problems("assets/best.sql", until=lambda rows: not rows) == []


@pytest.mark.parametrize(
    "uri", ["untitled:Untitled-1", "file:///nowhere/assets/a.sql", "http://x/a.sql", "%%", ""]
)
def test_documents_outside_of_projects_have_no_answers(editor: Editor, uri: str) -> None:
    item = types.TextDocumentItem(uri, "sql", 1, "select")
    editor.send(lambda: editor.client.text_document_did_open(types.DidOpenTextDocumentParams(item)))
    place = types.HoverParams(types.TextDocumentIdentifier(uri), types.Position(0, 0))
    assert editor.run(editor.client.text_document_hover_async(place)) is None
    assert editor.messages == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (CLEAN, "/* headrace\nowner: [sales"),
        (CLEAN, "select " + "(" * 5_000),
        (CLEAN, "\x00\x01"),
        (CLEAN, "/* headrace\nowner: sales\n*/\nselect 'open"),
        ("consumers.yaml", "a: &a [" + ", ".join(["*a"] * 9) + "]"),
        ("consumers.yaml", "[" * 3_000),
        ("headrace.toml", "[project"),
        ("assets/report.py", "def report(:"),
        ("assets/report.py", "(" * 5_000),
        ("contracts/orders.odcs.yaml", "schema: 5"),
        ("tests/clean.yaml", "- 5\n- {asset: [clean]}"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else None,
)
def test_files_that_cant_be_read_are_red_and_nothing_ends(
    editor: Editor, path: str, text: str
) -> None:
    """Would catch: a server that ends, or stays silent, on a half-typed or hostile file."""
    editor.open(path)
    editor.problems(path)
    editor.write(path, text)
    assert editor.problems(path, until=bool)
    for place in (types.Position(0, 3), types.Position(99, 99)):
        document = types.TextDocumentIdentifier(editor.uri(path))
        editor.run(editor.client.text_document_hover_async(types.HoverParams(document, place)))
        editor.run(
            editor.client.text_document_completion_async(types.CompletionParams(document, place))
        )
    editor.write(path, FILES[path])
    assert editor.problems(path, until=lambda rows: not rows) == []


def test_code_of_assets_isnt_run(editor: Editor) -> None:
    """Would catch: a server that imports what is open, also by way of `code_files` or a test."""
    mark = editor.root / "was-run"
    hostile = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n"
    editor.open("assets/report.py", hostile + FILES["assets/report.py"])
    editor.problems("assets/report.py")
    editor.hover("assets/report.py", 'inputs=["da|ily')
    editor.rename("assets/report.py", 'inputs=["da|ily', "each_day")
    assert not mark.exists()


def test_messages_that_arent_of_the_protocol_dont_end_the_server(editor: Editor) -> None:
    """Would catch: a server that ends with the first message that it can't read."""
    server = editor.client._server
    assert server is not None and server.stdin is not None
    for body in (b"{", b"[]", b'{"jsonrpc": "2.0", "method": 5}', b'{"jsonrpc": "2.0"}'):
        server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    editor.open(CLEAN)
    assert editor.problems(CLEAN) == []


def test_a_project_whose_settings_name_no_environment_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_ENV", "elsewhere")
    with editing(edited_shop(tmp_path)) as editor:
        editor.open(CLEAN)
        assert editor.hover(CLEAN, "from ord|ers") == ""
        assert "elsewhere" in " ".join(editor.messages)


def test_results_of_a_query_without_an_asset_are_nobodys_columns(editor: Editor) -> None:
    """Would catch: a hover that looks for the columns of a table without a name."""
    path = "assets/new.sql"
    editor.open(path, "/* headrace\nowner sales\n*/\nselect day as one, price from clean\n")
    assert editor.problems(path, until=bool)
    assert editor.hover(path, "as on|e") == ""
    assert editor.definition(path, "as on|e") == ""
    assert editor.references(path, "as on|e") == []
    assert "clean.price" in editor.hover(path, "pri|ce")
