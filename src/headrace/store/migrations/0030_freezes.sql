-- Who is stopped.

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
