-- Exports that an erasure writes again without the subject's rows.

create table erased_export (
    erasure_id integer not null references erasure (id),
    consumer text not null,
    interval_key text not null,
    publication_id bigint not null,   -- the export that is, or was, to be written again
    state text not null check (state in ('waiting', 'erased', 'kept')),
    rows bigint not null,             -- rows that the export had and hasn't any more
    why text not null,                -- of kept ones; of erased ones the files or tables, one a line
    primary key (erasure_id, consumer, interval_key)
);
