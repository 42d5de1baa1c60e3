"""What an editor shows while somebody types: problems, completion, hover, places of names."""

from __future__ import annotations

from edited_shop import FILES
from editor import Editor


def test_a_wrong_column_is_red_before_the_file_is_saved(editor: Editor) -> None:
    """Would catch: problems of the file on disk, and of a former text."""
    editor.open("assets/clean.sql")
    assert editor.problems("assets/clean.sql") == []
    editor.type("assets/clean.sql", "o.amount", "o.amont")
    wrong = editor.problems("assets/clean.sql")
    assert wrong == ["7: unknown_column: amont"]
    assert (editor.root / "assets/clean.sql").read_text() == FILES["assets/clean.sql"]
    editor.type("assets/clean.sql", "o.amont", "o.amount")
    assert editor.problems("assets/clean.sql") == []


def test_a_wrong_column_behind_a_parameter_is_red_at_its_line(editor: Editor) -> None:
    """Would catch: lines as sqlglot counts them, with all that follow a `$name` once more."""
    editor.open("assets/clean.sql")
    editor.type("assets/clean.sql", "< $partition_end", "< $partition_end\n  and o.wrong\n  = 1")
    assert editor.problems("assets/clean.sql", until=bool) == ["10: unknown_column: wrong"]


def test_a_column_that_others_read_is_red_where_they_read_it(editor: Editor) -> None:
    """Would catch: problems of the open file only."""
    editor.open("assets/clean.sql")
    editor.texts["assets/best.sql"] = FILES["assets/best.sql"]
    editor.type("assets/clean.sql", "as price", "as cost")
    assert editor.problems("assets/best.sql") == ["6: unknown_column: price"]
    editor.type("assets/clean.sql", "as cost", "as price")
    assert editor.problems("assets/best.sql", until=lambda rows: not rows) == []


def test_what_only_duckdb_knows_is_red_after_a_pause(editor: Editor) -> None:
    """Would catch: an editor that is content with what `headrace validate` refuses."""
    editor.open("assets/daily.sql")
    editor.type("assets/daily.sql", "sum(price)", "sum(price) + strlen(price)")
    assert editor.problems("assets/daily.sql", until=bool)[0].startswith("8: sql_binding")


def test_a_file_that_was_never_saved_is_checked_and_is_read_by_others(editor: Editor) -> None:
    """Would catch: documents that only count once a file of the name is there."""
    text = FILES["assets/best.sql"].replace("price", "price * 2 as twice")
    editor.open("assets/new.sql", text)
    assert editor.problems("assets/new.sql") == []
    editor.open("assets/best.sql")
    editor.type("assets/best.sql", "from clean", "from new")
    editor.type("assets/best.sql", "[clean]", "[new]")
    assert editor.problems("assets/best.sql", until=lambda rows: len(rows) == 1) == [
        "6: unknown_column: price"
    ]


def test_columns_and_tables_that_fit_are_offered_in_unfinished_sql(editor: Editor) -> None:
    """Would catch: no completion as long as the statement can't be read, which is always."""
    path = "assets/best.sql"
    editor.open(path)
    editor.type(path, "select day, customer, price\nfrom clean", "select day, c.\nfrom clean c")
    assert editor.completions(path, "day, c.|") == ["order_id", "day", "customer", "price"]
    editor.type(path, "from clean c", "from ")
    assert editor.completions(path, "from |\n") == ["orders", "clean", "daily", "report"]
    editor.type(path, "where day >= $partition_start", "where day >= $")
    assert "partition_start" in editor.completions(path, ">= $|")
    assert "threshold" in editor.completions(path, ">= $|")


def test_names_are_offered_in_yaml_and_python(editor: Editor) -> None:
    editor.open("consumers.yaml")
    assert "clean" in editor.completions("consumers.yaml", "reads: [daily, |best")
    assert editor.completions("consumers.yaml", "owner: |sales") == ["sales", "vendor"]
    editor.open("assets/clean.sql")
    assert editor.completions("assets/clean.sql", "unique: [|order_id") == [
        "order_id",
        "day",
        "customer",
        "price",
    ]
    editor.open("assets/report.py")
    assert "clean" in editor.completions("assets/report.py", 'inputs=["|daily')


def test_hover_says_whose_a_table_is_who_needs_it_and_how_fresh_it_is(editor: Editor) -> None:
    editor.open("assets/best.sql")
    shown = editor.hover("assets/best.sql", "from cl|ean")
    assert "**sql asset clean** · owner sales · partition day" in shown
    assert "price DOUBLE" in shown
    assert "reads orders" in shown
    assert "needed by morning (due 07:00)" in shown
    assert "not applied" in shown


def test_hover_shows_the_lineage_of_a_column(editor: Editor) -> None:
    """Would catch: the column of a CTE that isn't followed to its table."""
    editor.open("assets/daily.sql")
    shown = editor.hover("assets/daily.sql", "sum(pri|ce)")
    assert "**clean.price** DOUBLE" in shown
    assert "from orders.amount (identity)" in shown
    assert "daily.revenue" in shown


def test_a_name_leads_to_its_declaration_and_to_all_of_its_places(editor: Editor) -> None:
    editor.open("assets/best.sql")
    assert editor.definition("assets/best.sql", "from cl|ean") == "assets/clean.sql:1"
    assert editor.definition("assets/best.sql", "customer, pr|ice") == "assets/clean.sql:7"
    editor.open("assets/clean.sql")
    assert editor.definition("assets/clean.sql", "o.am|ount") == "contracts/orders.odcs.yaml:13"
    assert editor.references("assets/best.sql", "from cl|ean") == [
        "assets/best.sql:4",
        "assets/best.sql:7",
        "assets/daily.sql:5",
        "assets/daily.sql:7",
        "assets/daily.sql:7",
        "tests/clean.yaml:2",
    ]
    assert editor.references("assets/best.sql", "customer, pr|ice") == [
        "assets/best.sql:6",
        "assets/clean.sql:7",
        "assets/daily.sql:7",
        "assets/daily.sql:7",
        "assets/daily.sql:8",
        "tests/clean.yaml:6",
    ]
