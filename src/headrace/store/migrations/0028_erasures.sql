-- Erasures of people's rows: the subject is known by keyed hashes only.

create table erasure (
    id integer primary key,
    subject text not null unique,     -- the first digits of a keyed hash of what was typed
    plan_id text not null,
    state text not null check (state in ('running', 'done')),
    actor text not null,
    reason text not null,
    progress text not null,           -- JSON: what was erased and kept until now, by node
    unnamed text not null,            -- JSON: files that nothing names any more, to be deleted
    certificate text,                 -- path, relative to the data folder
    started_at bigint not null,
    finished_at bigint
);
create table erased_key (             -- by what the subject's rows are recognised: now, and when they are delivered again
    erasure_id integer not null references erasure (id),
    node text not null,
    alternative integer not null,     -- a row is the subject's if it matches all columns of an alternative
    field text not null,
    tokens text not null,             -- JSON: hashes of the value, as text of each type
    primary key (erasure_id, node, alternative, field)
);
create index erased_key_of on erased_key (node);
