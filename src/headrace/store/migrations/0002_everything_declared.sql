-- Exports are attempts; deliveries come from more than single files; what is stale may wait for a decision; environments borrow.

create table attempt_new (
    epoch bigint not null,
    n integer not null,
    run_id integer not null references run (id),
    node text not null,
    kind text not null check (kind in ('take_in', 'produce', 'export')),
    partitions text not null,         -- JSON list of keys
    state text not null check (state in ('queued', 'running', 'published', 'held', 'rejected', 'failed', 'lost', 'cancelled', 'skipped')),
    version integer,                  -- of what was applied
    snapshot_read bigint,
    delivery_id integer references delivery (id),
    queued_at bigint not null,
    started_at bigint,
    finished_at bigint,
    published_at bigint,
    verdict text,
    reason text,
    measures text,
    error text,
    primary key (epoch, n)
);
insert into attempt_new
    select epoch, n, run_id, node, kind, partitions, state, version, snapshot_read, delivery_id, queued_at, started_at, finished_at,
        published_at, verdict, reason, measures, error
    from attempt;
drop table attempt;
alter table attempt_new rename to attempt;
create index attempt_of on attempt (node, epoch, n);
create index attempt_run on attempt (run_id, epoch, n);
create index attempt_open on attempt (state) where state in ('queued', 'running');

alter table delivery add column version text not null default '';   -- what the source says: an ETag, a cursor
alter table delivery add column parts text;                         -- JSON, where several files are one delivery
alter table delivery add column bundle text not null default '';    -- one file, several intervals
alter table delivery add column received text;                      -- JSON: who handed it in, and why

alter table partition add column proposed integer not null default 0;   -- stale, but not computed again before somebody asks

alter table look add column code text;                              -- of the error: access_denied, source_unavailable

create table borrowed (node text primary key);                      -- in an environment: read from production
create table borrowed_publication (  -- what the environment's last leader saw of production
    node text not null,
    partition text not null,
    publication_id bigint not null,
    content_hash text,
    primary key (node, partition)
);
