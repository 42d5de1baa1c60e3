-- What the core decided is journalled and checkpointed; nodes are paused, triggers fire, runs are cancelled.

create table journal (                -- the core's write-ahead record: one row a transaction of a leader
    seq integer primary key,
    epoch bigint not null,
    slots integer not null,           -- of the core
    at bigint not null,
    events blob not null,             -- msgpack: what the core was told, in order
    decisions blob not null           -- what it decided, as a digest: replaying the events must come to the same
);
create index journal_of on journal (epoch, seq);

create table checkpoint (             -- what the core knew at a revision; all that happened since is in partition
    id integer primary key check (id = 1),
    version bigint not null,          -- of what was applied
    revision bigint not null,
    at bigint not null,
    content blob not null             -- msgpack: schedule.checkpoint
);
alter table partition add column revision bigint not null default 0;   -- of its last change: grows with each transaction that changes any
create index partition_revision on partition (revision);

drop table claim;                     -- claims are the leader's own: its epoch guards every commit

create index delivery_waiting on delivery (id) where state = 'waiting';
create index delivery_given_up on delivery (source, id) where state in ('failed', 'rejected');
create index delivery_newest on delivery (source, id);
create index delivery_observed on delivery (source, observed_at);
create index attempt_partitions on attempt (node, partitions, epoch, n);
create index attempt_several on attempt (node, epoch, n) where partitions like '%,%';
create index attempt_delivery on attempt (delivery_id) where delivery_id is not null;
create index run_at on run (started_at);
create index run_state on run (state, id);

create table attempt_day (            -- what attempts came to that retention has taken
    node text not null,
    day text not null,                -- in UTC, of their ends
    state text not null,
    attempts bigint not null,
    took_us bigint not null,
    primary key (node, day, state)
);

create table pause (                  -- nothing of these nodes is started
    node text primary key,
    reason text not null,
    actor text not null,
    since bigint not null,
    until bigint
);
create table firing (node text primary key, at bigint not null);       -- when its trigger fired last

alter table run add column cancelled_at bigint;                        -- a person took it back; what had ended by then counts as it is
alter table run add column cancelled_by text;                         -- who it was
alter table run add column reason text;
