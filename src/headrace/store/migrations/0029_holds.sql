-- Legal holds: while one stands, neither retention nor an erasure removes data of its node.

create table legal_hold (
    id integer primary key,
    node text not null,               -- `*`: everything
    reason text not null,
    actor text not null,
    since bigint not null,
    released_at bigint,
    released_by text,
    release_reason text
);
create index legal_hold_standing on legal_hold (node) where released_at is null;
