-- Proposals of `optimize`, `bottleneck` and `complexity` that somebody dismissed, and why.

create table dismissal (
    id integer primary key,
    proposal text not null,        -- as listed: `o-…`, `trigger:ASSET` or `KIND:NODE`
    node text not null,            -- the node that it is about, or what else has a name
    facts text not null,           -- hash of the code and checks that the proposal depends on
    cost bigint,                   -- what it cost then, in microseconds; null: not known
    reason text not null,
    actor text not null,
    at bigint not null,
    reopened_at bigint,
    reopened_by text
);
create index dismissal_in_force on dismissal (proposal) where reopened_at is null;
