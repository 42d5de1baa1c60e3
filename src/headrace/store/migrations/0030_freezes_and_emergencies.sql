-- Who is stopped, and who has taken a role in an emergency.

create table access_freeze (
    id integer primary key,
    subject text not null,   -- token:ci, user:ana, group:ops; * for everybody but admins
    reason text not null,
    created_by text not null,
    created_at bigint not null,
    lifted_by text,
    lifted_at bigint
);
create index access_freeze_in_force on access_freeze (subject) where lifted_at is null;

create table emergency_access (
    id integer primary key,
    subject text not null,
    actor text not null,
    role text not null,
    scope text not null,   -- JSON
    reason text not null,
    created_at bigint not null,
    expires_at bigint not null,
    reviewed_by text,
    reviewed_at bigint,
    review text
);
create index emergency_access_unreviewed on emergency_access (expires_at) where reviewed_at is null;
