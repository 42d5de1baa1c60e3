-- Headrace's own tables. Times are integer microseconds since 1970 UTC; documents are JSON text.
-- The lake's catalog (ducklake_*) lives in the same database and is made by headrace.lake.

create table meta (key text primary key, value text not null);

create table lease (
    id integer primary key check (id = 1),
    epoch bigint not null,
    holder text not null,             -- who it is, for people
    machine text not null default '', -- with pid and started: the process, so that a dead one is known to be dead
    pid integer not null default 0,
    started text not null default '',
    taken_at bigint not null,         -- real time, not the replay clock
    expires_at bigint not null,       -- real time
    released integer not null default 0
);
insert into lease (id, epoch, holder, taken_at, expires_at, released) values (1, 0, '', 0, 0, 1);

create table request (                -- what verbs ask of a running leader
    id integer primary key,
    verb text not null,
    arguments text not null,
    actor text not null,
    state text not null check (state in ('waiting', 'taken', 'done', 'failed')),
    epoch bigint,                     -- of the leader that took it
    run_id integer,                   -- the run that serves it, for whoever follows its progress
    document text,
    created_at bigint not null,       -- real time
    finished_at bigint
);
create index request_open on request (id) where state in ('waiting', 'taken');

create table content (hash text primary key, bytes blob not null);     -- what was applied, by content

create table version (                -- what was applied, newest last
    id integer primary key,
    hash text not null,               -- of the manifest
    manifest text not null,           -- {path: content hash}
    compiled blob not null,           -- msgpack of plan.Compiled
    applied_at bigint not null,
    actor text not null
);

create table look (source text not null, at bigint not null, found integer not null, error text, primary key (source, at));

create table source_schema (source text primary key, schema text not null, pinned_at bigint not null);

create table delivery (
    id integer primary key,
    source text not null,
    partition text not null,
    path text not null,
    size_bytes bigint not null,
    modified_us bigint not null,
    claimed_at bigint not null,
    observed_at bigint not null,
    arrived_at bigint not null,
    sha256 text,                      -- known once taken in
    fingerprint text,                 -- schema + content
    state text not null check (state in ('waiting', 'published', 'held', 'rejected', 'failed', 'superseded', 'recut')),
    reason text
);
create index delivery_of on delivery (source, partition, id);
create index delivery_file on delivery (source, path, id);

create table run (
    id integer primary key,
    kind text not null,               -- run, tick, demo
    request text not null,
    actor text not null,
    state text not null check (state in ('running', 'succeeded', 'failed', 'partial', 'nothing_due', 'lost')),
    started_at bigint not null,
    finished_at bigint
);

create index run_open on run (id) where state = 'running';

create table attempt (
    epoch bigint not null,
    n integer not null,
    run_id integer not null references run (id),
    node text not null,
    kind text not null check (kind in ('take_in', 'produce')),
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
create index attempt_of on attempt (node, epoch, n);
create index attempt_run on attempt (run_id, epoch, n);
create index attempt_open on attempt (state) where state in ('queued', 'running');

create table reshaping (node text primary key);     -- its code changed: its next publication may change its table's columns

create table claim (                  -- the newest grant on a partition fences older ones
    node text not null,
    partition text not null,
    epoch bigint not null,
    n integer not null,
    primary key (node, partition)
);

create table partition (              -- where each partition that was ever touched stands now
    node text not null,
    partition text not null,
    state text not null check (state in ('missing', 'waiting', 'running', 'published', 'held', 'rejected', 'failed', 'withdrawn', 'waived')),
    stale integer not null default 0,
    failures integer not null default 0,
    not_before bigint,                -- of the next try
    publication_id integer,           -- what readers see, whatever the state says of newer attempts
    reason text,
    since bigint not null,
    primary key (node, partition)
);
create index partition_open on partition (node, partition) where state <> 'published';
create index partition_stale on partition (node) where stale <> 0;

create table publication (
    id integer primary key,
    node text not null,
    partition text not null,
    epoch bigint not null,
    n integer not null,
    snapshot bigint not null,
    ended_snapshot bigint,
    published_at bigint not null,
    ended_at bigint,
    rows bigint not null,
    bytes bigint not null,
    verdict text not null,
    content_hash text,
    identical integer not null default 0,     -- same content as the publication that it replaced
    version integer not null,
    delivery_id integer,
    manifest text                     -- of `files`: [{path, size, sha256}]
);
create unique index publication_current on publication (node, partition) where ended_snapshot is null;
create index publication_attempt on publication (epoch, n);
create index publication_at on publication (published_at);
create index publication_of on publication (node, partition, published_at);     -- when a partition could first be read

create table check_result (
    epoch bigint not null,
    n integer not null,
    node text not null,
    partition text not null,
    name text not null,
    kind text not null,
    severity text not null,
    outcome text not null,
    rows bigint not null,
    failing bigint not null,
    detail text not null,
    at bigint not null,
    primary key (epoch, n, partition, name)
);
create index check_result_of on check_result (node, name, at);

create table profile (epoch bigint not null, n integer not null, node text not null, partition text not null, columns text not null, primary key (epoch, n, partition));
create index profile_of on profile (node, partition);

create table quarantine (
    id integer primary key,
    node text not null,
    partition text not null,
    epoch bigint not null,
    n integer not null,
    state text not null check (state in ('held', 'rejected', 'released', 'dropped', 'superseded')),
    reason text not null,
    path text,                        -- of the staged file or the raw bytes, relative to the data folder
    rows bigint,
    sample text,                      -- JSON rows
    delivery_id integer,
    at bigint not null
);
create index quarantine_of on quarantine (node, partition, id);
create index quarantine_open on quarantine (state) where state in ('held', 'rejected');

create table promise (                -- what a consumer was promised, and from when on
    id integer primary key,
    consumer text not null,
    terms text not null,
    from_at bigint not null,
    until_at bigint
);

create index promise_of on promise (consumer, from_at);

create table obligation (
    consumer text not null,
    interval text not null,
    due_at bigint not null,
    promise_id integer not null references promise (id),
    met_at bigint,
    waived_at bigint,
    primary key (consumer, interval)
);
create index obligation_open on obligation (consumer, interval) where met_at is null and waived_at is null;
create index obligation_met on obligation (consumer, interval) where met_at is not null;

create table overlay (                -- staged files of a plan (backfill, environment) that aren't in the lake yet
    plan_id text not null,
    node text not null,
    partition text not null,
    epoch bigint not null,
    n integer not null,
    staged text not null,
    primary key (plan_id, node, partition)
);

create table audit (
    seq integer primary key,
    at bigint not null,
    event text not null,              -- canonical JSON (RFC 8785)
    prev_hash text not null,
    hash text not null
);
-- `insert or replace` deletes without firing a delete trigger; this also keeps seq without a gap.
create trigger audit_in_order before insert on audit when new.seq is not (select coalesce(max(seq), 0) + 1 from audit)
begin select raise(abort, 'the audit trail is append-only: seq has no gaps'); end;
create trigger audit_no_update before update on audit begin select raise(abort, 'the audit trail is append-only'); end;
create trigger audit_no_delete before delete on audit begin select raise(abort, 'the audit trail is append-only'); end;
