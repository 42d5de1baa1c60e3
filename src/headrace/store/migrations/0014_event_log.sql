-- The event log: what each transaction changed, chained by hashes. The tables can be computed from it (docs/decisions).

create table event_log (
    seq integer primary key,          -- without gaps
    content blob not null,            -- msgpack of store.event_log.records.Record
    hash blob not null                -- SHA-256 over seq, the hash before, and content
);
create table event_statement (        -- the texts that records name by their number
    id integer primary key,
    sql text not null
);
