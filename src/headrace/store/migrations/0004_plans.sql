-- A backfill is a plan: kept before it runs, with what it has staged and isn't published yet.

create table plan (
    id integer primary key,
    state text not null check (state in ('planned', 'awaiting_approval', 'running', 'paused', 'succeeded', 'partial', 'failed', 'cancelled')),
    actor text not null,
    reason text not null,
    request text not null,            -- JSON: what was typed
    version bigint not null,          -- of what was applied when it was made
    content blob not null,            -- msgpack of plan.backfills.Backfill: ranges, never single partitions
    estimate text,                    -- JSON: what was said of how long it would take
    needs text,                       -- the line of policy that asks for an approval
    steps_done integer not null default 0,
    outcome text,                     -- JSON: what it has come to until now
    created_at bigint not null,
    started_at bigint,
    finished_at bigint
);
create index plan_open on plan (id) where state in ('running', 'paused');

alter table run add column plan_id bigint;                             -- of the backfill that it works at
create index run_plan on run (plan_id, id) where plan_id is not null;
alter table journal add column plan_id bigint not null default 0;      -- a plan has a core of its own

drop table overlay;                   -- nothing wrote it
create table overlay (                -- what a plan has made of each partition and readers don't see yet
    plan_id bigint not null references plan (id),
    node text not null,
    partition text not null,
    epoch bigint not null,
    n bigint not null,
    state text not null check (state in ('staged', 'held', 'rejected', 'failed')),
    rows bigint not null default 0,
    bytes bigint not null default 0,
    content_hash text,
    verdict text,
    reason text,
    changed text,                     -- JSON: rows added, removed and changed against what readers saw when it was made
    primary key (plan_id, node, partition)
);
create index overlay_attempt_of on overlay (epoch, n);
create table overlay_attempt (        -- what an attempt of a plan staged, for one or several partitions
    plan_id bigint not null references plan (id),
    epoch bigint not null,
    n bigint not null,
    node text not null,
    outcome blob not null,            -- msgpack of run.messages.Outcome
    primary key (epoch, n)
);
create index overlay_attempt_plan on overlay_attempt (plan_id);

create table batching (               -- whether computing several partitions at once was seen to give what one alone gives
    node text primary key,
    fingerprint text not null,
    proven integer not null
);
