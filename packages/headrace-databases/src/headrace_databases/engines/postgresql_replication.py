"""PostgreSQL as a source of changes: publications, replication slots, and their messages by SQL.

The functions `pg_logical_slot_peek_binary_changes` and `pg_replication_slot_advance` need no
connection of the replication protocol, and let a reader confirm exactly what it has stored.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
from psycopg.sql import Identifier

from headrace.extension.sources import Access, Unavailable, unusable
from headrace_databases import pgoutput
from headrace_databases.engines.engine import address_of
from headrace_databases.engines.parquet_files import Write
from headrace_databases.engines.postgresql import PostgresqlSource, translated_errors
from headrace_databases.pgoutput import RemoteColumn
from headrace_databases.queries import parts_of

CHANGES_MAX = 100_000
"""A delivery ends with the transaction that reaches this number of messages."""
DISK_SECONDS_MAX = 30.0
_FIRST_OWN_OID = 16_384
"""Types from this number on were created in the database; domains are among them."""


class Server(msgspec.Struct, frozen=True):
    """What changes are read from, as far as another one can't be taken for it."""

    system: str
    """The system identifier that `initdb` gave the cluster."""
    timeline: int
    """Each promotion and each recovery to a point in time begins another one."""
    table: int
    """The number of the table, which a table that is created again doesn't have."""
    publication: str
    """Numbers of the publication, of its last change, and of the table's membership."""


class Published(msgspec.Struct, frozen=True):
    """The published table: its columns, and which of its rows are published."""

    columns: tuple[RemoteColumn, ...]
    keys: tuple[str, ...]
    """Columns of the primary key."""
    condition: str | None
    whole: int
    """The table's own number: that of its changes."""


class Slot(msgspec.Struct, frozen=True):
    """A replication slot. LSNs are numbers of bytes."""

    confirmed: int
    wal_status: str | None
    retained_bytes: int
    """Of the server's log, which it can't delete before the slot moves on."""


class PeekedTransaction(msgspec.Struct, frozen=True):
    """A committed transaction in the slot."""

    commit_lsn: int
    end_lsn: int
    committed_us: int
    xid: int
    changes: int
    """Changes of the table."""
    messages: int


class Replication(PostgresqlSource):
    """A connection that follows the changes of one table.

    With `lock`, nobody can empty or rewrite the table until it is closed: TRUNCATE also removes the
    rows of snapshots from before it.
    """

    def __init__(self, access: Access, *, lock: bool = False) -> None:
        declared = access.source.connector["changes"]
        self.table, self.publication = declared["table"], declared["publication"]
        self._name = ".".join(map(quoted_name, parts_of(self.table) or ()))
        super().__init__(
            address_of(access.connection, access.secrets),
            access.source.timezone,
            first=f"lock table {self._name} in access share mode" if lock else "",
        )

    def server(self) -> Server:
        """Return the server, the table and its publication. Raises Unavailable."""
        if self._first_row("select pg_is_in_recovery(), 1")[0]:
            raise unusable("the server is a standby: connect to its primary")
        system, timeline, level, oid, kind = self._first_row(
            "select (select system_identifier from pg_control_system())::text,"
            " substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),"
            " current_setting('wal_level'), c.oid::bigint, c.relkind from (select"
            " to_regclass(%(table)s) as oid) t left join pg_class c on c.oid = t.oid",
            table=self._name,
        )
        if level != "logical":
            raise unusable(
                f"the server's wal_level is {level}: set wal_level = logical, and restart it"
            )
        if oid is None:
            raise unusable(f"there is no table {self.table} that this user may see")
        return Server(system, int(timeline, 16), oid, self._membership(oid, kind))

    def _membership(self, oid: int, kind: str) -> str:
        """Return the publication's numbers; refuse one that leaves out changes."""
        rows = self.rows(
            "select p.oid::text, p.xmin::text, coalesce(r.oid, 0)::text, p.puballtables or r.oid is"
            " not null, p.pubinsert and p.pubupdate and p.pubdelete and p.pubtruncate, p.pubviaroot"
            " from pg_publication p left join pg_publication_rel r on r.prpubid = p.oid and"
            " r.prrelid = %(oid)s where p.pubname = %(publication)s",
            {"oid": oid, "publication": self.publication},
        )
        name = quoted_name(self.publication)
        if not rows:
            raise unusable(
                f"there is no publication {self.publication}: run `create publication {name} for"
                f" table {self._name}` as the table's owner"
            )
        *numbers, has_table, complete, by_root = rows[0]
        if not has_table:
            raise unusable(
                f"the publication {self.publication} doesn't have the table: run `alter publication"
                f" {name} add table {self._name}`"
            )
        if not complete:
            raise unusable(
                f"the publication {self.publication} leaves out operations: run `alter publication"
                f" {name} set (publish = 'insert, update, delete, truncate')`"
            )
        if kind == "p" and not by_root:
            raise unusable(
                f"the table is partitioned: run `alter publication {name} set"
                " (publish_via_partition_root = true)`"
            )
        return ":".join(numbers)

    def published(self, oid: int) -> Published:
        """Return the columns and rows that are published."""
        (membership,) = self._first_row(
            "select to_jsonb(t) from pg_publication_tables t join pg_class c on c.oid = %(oid)s"
            " join pg_namespace n on n.oid = c.relnamespace where t.pubname = %(publication)s and"
            " t.schemaname = n.nspname and t.tablename = c.relname",
            oid=oid,
            publication=self.publication,
        )
        rows = self.rows(
            "select a.attname, a.atttypid::bigint, a.atttypmod, coalesce(a.attnum = any(i.indkey),"
            " false) from pg_attribute a left join pg_index i on i.indrelid = a.attrelid and"
            " i.indisprimary where a.attrelid = %(oid)s and a.attnum > 0 and not a.attisdropped and"
            " a.attgenerated = '' order by a.attnum",
            {"oid": oid},
        )
        names = membership.get("attnames")
        columns = [RemoteColumn(*row) for row in rows if names is None or row[0] in names]
        return Published(
            tuple(map(self.resolved, columns)),
            tuple(column.name for column in columns if column.key),
            membership.get("rowfilter"),
            oid,
        )

    def resolved(self, column: RemoteColumn) -> RemoteColumn:
        """Return the column with the type that a domain is based on."""
        while column.type_oid >= _FIRST_OWN_OID:
            rows = self.rows(
                "select typbasetype::bigint, typtypmod from pg_type where oid = %(oid)s and typtype"
                " = 'd'",
                {"oid": column.type_oid},
            )
            if not rows:
                break
            base, modifier = rows[0]
            column = msgspec.structs.replace(column, type_oid=base, modifier=modifier)
        return column

    def snapshot(self) -> str:
        """Return the snapshot of this connection's transaction."""
        return str(self._first_row("select pg_current_snapshot()::text")[0])

    def copy_table(self, published: Published, lsn: int, now_us: int, write: Write) -> None:
        """Send the published rows as CSV, after a row that empties what was there before."""
        names = ", ".join(self.quoted(column.name) for column in published.columns)
        condition = (published.condition or "true").replace("%", "%%")
        first = [b'"truncate"', b'"0"', b'"%d"' % lsn, b'"%d"' % now_us, b""]
        write(b",".join(first + [b""] * len(published.columns)) + b"\n")
        head = "'snapshot', row_number() over (), %(lsn)s::bigint, %(now)s::bigint, null::text"
        statement = (
            f"copy (select {head}, {names} from {self._name.replace('%', '%%')} where {condition})"
            " to stdout (format csv, force_quote *)"
        )
        self.send(statement, {"lsn": lsn, "now": now_us}, write)

    # Slots.

    def slot(self, name: str) -> Slot | None:
        """Return a slot of this database; None if there is none."""
        rows = self.rows(
            "select (s.confirmed_flush_lsn - '0/0')::bigint, s.wal_status,"
            " (pg_current_wal_insert_lsn() - s.restart_lsn)::bigint from pg_replication_slots s"
            " where s.slot_name = %(name)s and s.plugin = 'pgoutput' and s.database ="
            " current_database()",
            {"name": name},
        )
        return Slot(rows[0][0] or 0, rows[0][1], rows[0][2] or 0) if rows else None

    def create(self, name: str) -> int:
        """Create a slot; return the LSN from which on it has all transactions."""
        called = "pg_create_logical_replication_slot(%(name)s, 'pgoutput')"
        sql = f"select (lsn - '0/0')::bigint from {called}"
        return int(self._first_row(sql, name=name)[0])

    def drop(self, name: str) -> None:
        """Drop a slot, if there is one."""
        if self.slot(name) is not None:
            self.rows("select pg_drop_replication_slot(%(name)s)", {"name": name})

    def advance(self, name: str, lsn: int) -> None:
        """Confirm all transactions whose commit records start before an LSN."""
        sql = "select end_lsn from pg_replication_slot_advance(%(name)s, %(lsn)s::pg_lsn)"
        self.rows(sql, {"name": name, "lsn": written_lsn(lsn)})

    def ends(self) -> tuple[int, int]:
        """Return where the log ends, and up to where it is on disk."""
        return self._first_row(
            "select (pg_current_wal_insert_lsn() - '0/0')::bigint, (pg_current_wal_flush_lsn() -"
            " '0/0')::bigint"
        )

    def wait_for_disk(self, lsn: int) -> None:
        """Wait until the log is on disk up to an LSN: a crash would take back what isn't.

        Raises Unavailable after DISK_SECONDS_MAX.
        """
        until = time.monotonic() + DISK_SECONDS_MAX
        while self.ends()[1] < lsn:
            if time.monotonic() > until:
                raise Unavailable("the server doesn't write its log to disk")
            time.sleep(0.02)

    def transactions(self, slot: str, table: int) -> list[PeekedTransaction]:
        """Return the first transactions in the slot, in the order of their commits."""
        rows = self.rows(
            "select (array_agg(data) filter (where get_byte(data, 0) = 67))[1], xid::text::bigint,"
            " count(*) filter (where (get_byte(data, 0) in (73, 85, 68) and substring(data from 2"
            " for 4) = %(table)s) or get_byte(data, 0) = 84),"
            f" count(*) from {_PEEK} group by xid",
            self._peek(slot, None, CHANGES_MAX) | {"table": table.to_bytes(4)},
        )
        peeked = [
            PeekedTransaction(*pgoutput.commit_of(commit), *rest)
            for commit, *rest in rows
            if commit is not None
        ]
        return sorted(peeked, key=lambda item: item.commit_lsn)

    def heads(self, slot: str, until: int) -> list[bytes]:
        """Return the begins of transactions and the relations in the slot, in its order."""
        sql = f"select data from {_PEEK} where get_byte(data, 0) in (66, 82)"
        return [row[0] for row in self.rows(sql, self._peek(slot, until, None))]

    def messages(self, slot: str, until: int) -> Iterator[bytes]:
        """Yield the messages in the slot, in bounded memory."""
        sql = f"copy (select data from {_PEEK}) to stdout (format binary)"
        with (
            translated_errors(),
            self.connection.cursor() as cursor,
            cursor.copy(sql.encode(), self._peek(slot, until, None)) as copy,
        ):
            copy.set_types(["bytea"])
            for (data,) in copy.rows():
                yield data

    def _peek(self, slot: str, until: int | None, changes: int | None) -> dict[str, Any]:
        return {
            "slot": slot,
            "until": None if until is None else written_lsn(until),
            "changes": changes,
            "publication": quoted_name(self.publication),
        }

    def _first_row(self, sql: str, **values: Any) -> tuple[Any, ...]:
        (row,) = self.rows(sql, values)
        return row


_PEEK = (
    "pg_logical_slot_peek_binary_changes(%(slot)s, %(until)s::pg_lsn,"
    f" %(changes)s::int, '{pgoutput.OPTIONS[0]}', '{pgoutput.OPTIONS[1]}',"
    f" '{pgoutput.OPTIONS[2]}', %(publication)s)"
)


def written_lsn(lsn: int) -> str:
    """Return an LSN as PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def quoted_name(name: str) -> str:
    """Return a name quoted as PostgreSQL does."""
    return Identifier(name).as_string(None)
