-- API tokens: only their hashes are stored.

create table access_token (
    id integer primary key,
    name text not null,
    hash text not null unique,
    grants text not null,
    created_at bigint not null,
    created_by text not null,
    expires_at bigint not null,
    revoked_at bigint
);
create index access_token_name on access_token (name);
