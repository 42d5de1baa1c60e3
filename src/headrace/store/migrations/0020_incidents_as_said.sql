-- What was said of an incident, each time it became another: a digest of an earlier time says what was known then.

create table incident_said (
    incident_id integer not null references incident (id),
    at bigint not null,
    kind text not null,
    node text not null,
    summary text not null,
    primary key (incident_id, at)
);
