"""A file with `for_each`, which declares several tables by the same text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from edited_shop import edited_shop
from editor import Editor, editing
from lsprotocol import types
from pygls.exceptions import JsonRpcException

PATH = "assets/each.sql"
TEXT = """\
/* headrace
name: per_$value(key)
owner: sales
partition: {by: day, column: day}
for_each: [{key: customer, from: clean}, {key: price, from: best}]
*/
select day, $column(key) as key, $value(key) as of, count(*) as n
from $table(from)
where day >= $partition_start and day < $partition_end
group by all
"""
READER = """\
/* headrace
owner: sales
partition: {by: day, column: day}
*/
select day, key, n from per_price where day >= $partition_start and day < $partition_end
"""


@pytest.fixture
def each(tmp_path: Path) -> Iterator[Editor]:
    root = edited_shop(tmp_path)
    (root / PATH).write_text(TEXT)
    (root / "assets/reader.sql").write_text(READER)
    with editing(root) as editor:
        editor.open(PATH)
        editor.open("assets/reader.sql")
        assert editor.problems(PATH) == []
        yield editor


def test_a_problem_of_one_of_the_tables_is_at_the_line_of_their_text(each: Editor) -> None:
    """Would catch: a problem at a line of the text that the values were put into."""
    each.type(PATH, "$column(key)", "$column(key) + wrong")
    assert set(each.problems(PATH, until=bool)) == {"7: unknown_column: wrong"}
    each.type(PATH, "$column(key) + wrong", "$column(key)")
    each.type(PATH, "{key: price, from: best}", "{key: prize, from: best}")
    [first, *_] = each.problems(PATH, until=bool)
    assert first.startswith("7: unknown_column: select day")


def test_every_place_has_an_answer(each: Editor) -> None:
    """Would catch: an exception at a name that isn't one before the values are put in."""
    document = types.TextDocumentIdentifier(each.uri(PATH))
    for word in re.finditer(r"\b", TEXT):
        place = each.position(TEXT, word.start())
        for answer in (
            each.client.text_document_hover_async(types.HoverParams(document, place)),
            each.client.text_document_definition_async(types.DefinitionParams(document, place)),
            each.client.text_document_completion_async(types.CompletionParams(document, place)),
        ):
            each.run(answer)
    assert "per_price.key" in each.hover("assets/reader.sql", "day, ke|y")


@pytest.mark.parametrize(
    ("path", "around"),
    [
        (PATH, "as ke|y"),
        (PATH, "name: per_|"),
        ("assets/reader.sql", "day, ke|y"),
        ("assets/reader.sql", "from per_|price"),
    ],
)
def test_a_rename_is_refused_in_words(each: Editor, path: str, around: str) -> None:
    """Would catch: a rename of one table that renames those of the other values, too."""
    with pytest.raises(JsonRpcException, match=r"assets/each\.sql has `for_each`"):
        each.rename(path, around, "other")
