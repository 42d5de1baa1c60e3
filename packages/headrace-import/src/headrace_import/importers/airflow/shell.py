"""SQL that a Bash command gives to a database's own program."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

COMMAND_CHARACTERS_MAX = 100_000
_MENTIONS = re.compile(
    r"(^|[\s;&|(])(psql|bq\s+query|snowsql|duckdb|sqlite3|mysql|trino|clickhouse-client|hive"
    r"|beeline)(\s|$)"
)
_HEREDOC = re.compile(
    r"^(?P<head>[^\n]*?)<<-?\s*'?\"?(?P<word>\w+)'?\"?\s*\n(?P<sql>.*?)\n(?P=word)\s*$",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class ShellSql:
    """SQL found in a command; `file` is the path of a file that holds it."""

    program: str
    dialect: str
    sql: str = ""
    file: str = ""
    target: str = ""
    """A table into which the program writes the rows of the SELECT."""
    replaces: bool = False
    database: str = ""
    """Which server and database the command names, as it is written; empty for the default one."""


def mentions_sql(command: str) -> bool:
    """Whether a command starts a database's program."""
    return _MENTIONS.search(command) is not None


def shell_sql(command: str) -> ShellSql | None:
    """Return the SQL if the command does nothing else; None otherwise.

    Several programs joined by `&&` are one if all of them give SQL to the same database.
    """
    if len(command) > COMMAND_CHARACTERS_MAX:
        return None
    parsed = _parts(command)
    if len(parsed) == 1 or None in parsed:
        return parsed[0] if len(parsed) == 1 else None
    parts = [part for part in parsed if part is not None]
    places = {(part.program, part.database) for part in parts}
    if len(places) > 1 or any(part.file or part.target for part in parts):
        return None
    return replace(parts[0], sql=";\n".join(part.sql for part in parts))


def why_not(command: str) -> str:
    """Return why `shell_sql` returns None for a command."""
    if len(command) <= COMMAND_CHARACTERS_MAX and None not in _parts(command):
        return "it starts several programs with SQL, which aren't one statement after another"
    return "its command does more than give SQL to a database"


def _parts(command: str) -> list[ShellSql | None]:
    command = command.strip().replace("\\\n", " ")
    if _HEREDOC.match(command):
        return [_parsed(command)]
    return [_parsed(part) for part in _split(command)]


def _split(command: str) -> list[str]:
    """The commands between `&&`, which start one after another as long as none fails."""
    parts, start = [], 0
    for match in re.finditer(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"|&&", command):
        if match.group() == "&&":
            parts.append(command[start : match.start()])
            start = match.end()
    return [*parts, command[start:]]


def _parsed(command: str) -> ShellSql | None:
    heredoc = _HEREDOC.match(command)
    words = _words(heredoc.group("head") if heredoc else command)
    if not words:
        return None
    program = words[0].rpartition("/")[2]
    reader = _READERS.get(program)
    parsed = reader(words[1:]) if reader else None
    if heredoc:
        heredoc_sql = ShellSql(program, _DIALECTS.get(program, ""), heredoc.group("sql"))
        parsed = heredoc_sql if parsed is None and program in _DIALECTS else None
    if parsed is None or _has_variables(parsed, command):
        return None
    return replace(parsed, database=_database(program, words[1:]))


def _words(text: str) -> list[str]:
    """The words of one command without its variables; empty if a shell would do more."""
    try:
        words = shlex.split(text)
    except ValueError:
        return []
    while words and re.match(r"\w+=", words[0]):
        words = words[1:]
    return [] if _has_shell_syntax(text) else words


def _has_variables(parsed: ShellSql, command: str) -> bool:
    """Whether a shell would put a variable into the statements or the file's name."""
    if "$" not in parsed.sql + parsed.file + parsed.target:
        return False
    in_single_quotes = parsed.sql and f"'{parsed.sql}'" in command
    return not in_single_quotes


def _has_shell_syntax(text: str) -> bool:
    """Whether a shell would do more than start one program; quoted text doesn't count."""
    outside = re.sub(r"'[^']*'", "''", text)
    if re.search(r"`|\$\(", outside):
        return True
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', outside)
    return re.search(r"[|&;<>\n]", outside.strip()) is not None


_DIALECTS = {
    "psql": "postgres",
    "bq": "bigquery",
    "snowsql": "snowflake",
    "duckdb": "duckdb",
    "sqlite3": "sqlite",
    "mysql": "mysql",
    "trino": "trino",
    "clickhouse-client": "clickhouse",
    "hive": "hive",
    "beeline": "hive",
}
_QUERY_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "psql": ("-c", "--command"),
    "snowsql": ("-q", "--query"),
    "duckdb": ("-c", "-s"),
    "sqlite3": ("-cmd",),
    "mysql": ("-e", "--execute"),
    "trino": ("--execute",),
    "clickhouse-client": ("-q", "--query"),
    "hive": ("-e",),
    "beeline": ("-e",),
}
_FILE_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "psql": ("-f", "--file"),
    "snowsql": ("-f", "--filename"),
    "duckdb": ("-f",),
    "trino": ("--file", "-f"),
    "hive": ("-f",),
    "beeline": ("-f",),
}
_DATABASE_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "psql": ("-h", "--host", "-p", "--port", "-d", "--dbname"),
    "mysql": ("-h", "--host", "-P", "--port", "-D", "--database"),
    "snowsql": ("-a", "--accountname", "-c", "--connection", "-d", "--dbname", "-s"),
    "trino": ("--server", "--catalog", "--schema"),
    "clickhouse-client": ("-h", "--host", "-d", "--database"),
    "hive": ("--database",),
    "beeline": ("-u",),
}
_USER_OPTIONS = ("-U", "--username", "-u", "--user", "-v", "--set", "-n")
_NAMED_BY_WORD = ("psql", "mysql", "sqlite3", "duckdb")
"""Programs that take the database as a word of its own."""


def _database(program: str, words: list[str]) -> str:
    """The server and database that a command names."""
    options = _DATABASE_OPTIONS.get(program, ())
    others = (*_QUERY_OPTIONS.get(program, ()), *_FILE_OPTIONS.get(program, ()), *_USER_OPTIONS)
    results: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name in options:
            results.append(value if equals else _next(rest))
        elif name in others and not equals:
            _next(rest)
        elif program in _NAMED_BY_WORD and not word.startswith("-") and " " not in word:
            results.append(word)
    return " ".join(results)


_OUTPUT = ("-o", "--output", "--output-file", ".output", "-L", "--log-file")
_VARIABLES = ("-v", "--set", "--variable", "-D", "--hivevar", "--hiveconf")


def _option_reader(program: str) -> Callable[[list[str]], ShellSql | None]:
    def read(words: list[str]) -> ShellSql | None:
        statements: list[str] = []
        files: list[str] = []
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if _changes_output(word, rest):
                return None
            name, equals, value = word.partition("=")
            into = _taken_by(program, name, statements, files)
            if into is not None:
                into.append(value if equals else _next(rest))
            elif program in ("sqlite3", "duckdb") and word[:1] != "-" and " " in word:
                statements.append(word)
        return _single(program, statements, files)

    return read


def _taken_by(program: str, name: str, statements: list[str], files: list[str]) -> list[str] | None:
    if name in _QUERY_OPTIONS[program]:
        return statements
    return files if name in _FILE_OPTIONS.get(program, ()) else None


def _changes_output(word: str, rest: list[str]) -> bool:
    """Whether an option writes the result to a file, or sets a variable of the program."""
    variable = word.partition("=")[0] in _VARIABLES
    return word in _OUTPUT or (variable and "ON_ERROR_STOP" not in " ".join([word, *rest[:1]]))


def _next(rest: list[str]) -> str:
    return rest.pop(0) if rest else ""


def _single(program: str, statements: list[str], files: list[str]) -> ShellSql | None:
    if any(statement.lstrip().startswith(("\\", ".")) for statement in statements):
        return None
    if statements and not files:
        return ShellSql(program, _DIALECTS[program], ";\n".join(statements))
    if len(files) == 1 and not statements:
        return ShellSql(program, _DIALECTS[program], file=files[0])
    return None


def _bq(words: list[str]) -> ShellSql | None:
    if "query" not in words:
        return None
    options: dict[str, str] = {}
    texts: list[str] = []
    rest = [word for word in words if word != "query"]
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-"):
            texts.append(word)
        elif equals or name in _BQ_FLAGS:
            options[name] = value or "true"
        else:
            options[name] = _next(rest)
    return _bq_sql(texts, options)


def _bq_sql(texts: list[str], options: Mapping[str, str]) -> ShellSql | None:
    standard = options.get("use_legacy_sql") == "false" or "nouse_legacy_sql" in options
    if len(texts) != 1 or not standard or _BQ_REFUSED & options.keys():
        return None
    target, replaces = options.get("destination_table", ""), options.get("replace") == "true"
    return ShellSql("bq", "bigquery", texts[0], target=target, replaces=replaces)


_BQ_REFUSED = frozenset(
    ("parameter", "batch_file", "schedule", "flagfile", "time_partitioning_field", "dry_run")
)
_BQ_FLAGS = frozenset(
    ("append_table", "quiet", "q", "headless", "sync", "nosync", "batch", "replace",
     "allow_large_results", "nouse_legacy_sql", "use_legacy_sql", "dry_run", "use_cache",
     "nouse_cache", "noreplace")
)  # fmt: skip
_READERS: Mapping[str, Callable[[list[str]], ShellSql | None]] = {
    **{program: _option_reader(program) for program in _QUERY_OPTIONS},
    "bq": _bq,
}
