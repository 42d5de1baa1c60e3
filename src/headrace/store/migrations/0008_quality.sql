-- What is odd about deliveries and partitions, what each partition measured, and what people accepted all the same.

create table drift (                  -- how a delivery's schema differed from what was expected of its interval
    id integer primary key,
    source text not null,
    partition text not null,
    delivery_id bigint,
    epoch bigint not null,
    n bigint not null,
    kind text not null check (kind in ('renamed', 'dropped', 'added', 'type', 'nullability', 'format', 'keys', 'nested')),
    column_name text not null,
    to_name text,
    score text,                       -- decimal, 0 to 1
    evidence text not null,           -- JSON list of clauses
    policy text not null check (policy in ('block', 'map', 'allow', 'warn')),
    used_by text not null,            -- JSON list of assets and consumers
    at bigint not null,
    accepted_at bigint,
    accepted_by text
);
create index drift_of on drift (source, partition, id);
create index drift_open on drift (source, id) where accepted_at is null and policy = 'block';

create table fact (                   -- quality.facts.Fact
    id integer primary key,
    node text not null,
    partition text not null,
    epoch bigint not null,
    n bigint not null,
    delivery_id bigint,
    kind text not null,
    column_name text not null,
    severity text not null check (severity in ('hold', 'warn')),
    expected text not null,
    observed text not null,
    strength text not null,           -- decimal, nats
    detail text not null,
    at bigint not null
);
create index fact_of on fact (node, partition, id);
create index fact_at on fact (at);

create table metric (                 -- what an attempt made of a partition, in a few numbers: quality.metrics, msgpack
    epoch bigint not null,
    n bigint not null,
    node text not null,
    partition text not null,
    vector blob not null,
    primary key (epoch, n, partition)
);
create index metric_of on metric (node, partition);

create table withheld (               -- what a held or rejected attempt staged, so that it can be published as it is
    epoch bigint not null,
    n bigint not null,
    outcome blob not null,            -- run.messages.Outcome, msgpack
    primary key (epoch, n)
);

create table accepted (               -- held or rejected data that somebody published as an exception
    id integer primary key,
    node text not null,
    partition text not null,
    quarantine_id bigint not null,
    publication_id bigint,            -- null: its delivery is to be read again, by looser rules
    actor text not null,
    reason text not null,
    at bigint not null,
    until bigint,
    ended_at bigint                   -- nothing came of it: its data couldn't be published at all
);
create index accepted_of on accepted (node, partition, id);
create index accepted_publication on accepted (publication_id) where ended_at is null;
