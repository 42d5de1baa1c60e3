-- What an attempt of a plan made waits, staged, until all that belongs to it is made.

create table attempt_new (
    epoch bigint not null,
    n bigint not null,
    run_id integer not null references run (id),
    node text not null,
    kind text not null check (kind in ('take_in', 'produce', 'export')),
    partitions text not null,         -- JSON list of keys
    state text not null check (state in
        ('queued', 'running', 'staged', 'published', 'held', 'rejected', 'failed', 'lost', 'cancelled', 'skipped')),
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
create index attempt_partitions on attempt (node, partitions, epoch, n);
create index attempt_several on attempt (node, epoch, n) where partitions like '%,%';
create index attempt_delivery on attempt (delivery_id) where delivery_id is not null;
