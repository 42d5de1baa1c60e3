-- Roles that somebody took in an emergency (break-glass).

create table access_emergency (
    id integer primary key,
    subject text not null,        -- user:ana, token:ci
    actor text not null,          -- as the audit trail names them
    role text not null,
    scope text not null,          -- JSON of what the role is limited to
    reason text not null,
    started_at bigint not null,
    expires_at bigint not null,
    ended_at bigint,
    ended_by text
);
create index access_emergency_in_force on access_emergency (expires_at) where ended_at is null;
