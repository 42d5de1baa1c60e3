-- Causes and what they hold, what people were told, who reads what, and evidence that outlives its rows.

create table incident (               -- one cause
    id integer primary key,           -- shown as INC-id
    state text not null check (state in ('open', 'recovering', 'resolved')),
    kind text not null,               -- INTERFACE's vocabulary: observe.diagnosis.causes.CauseKind; may be refined
    detail text not null default '',
    node text not null,               -- a source, an asset, a consumer's export, or `headrace`
    partition text not null default '',   -- the first that it is seen at
    columns text not null default '[]',   -- JSON
    fingerprint text not null,        -- of kind, node, columns, detail: the same again is a recurrence
    owner text not null,
    summary text not null,            -- one clause
    confidence text not null,         -- decimal, 0 to 1
    evidence text not null,           -- JSON: [{what, expected, observed, at, id}], frozen: it outlives the rows that it is of
    affected text not null,           -- JSON: {assets, consumers, partitions}
    began_at bigint not null,         -- the earliest evidence
    opened_at bigint not null,
    restored_at bigint,               -- the last affected consumer was served again
    resolved_at bigint,
    updated_at bigint not null,
    recurrence_of integer references incident (id),
    opened_in integer                 -- the run at whose end it was found last
);
create index incident_open on incident (id) where state <> 'resolved';
create index incident_same on incident (fingerprint, id);
create index incident_opened on incident (opened_at);
create index incident_of on incident (node, id);
create index incident_found on incident (opened_in);

create table evidence (               -- what was seen that isn't as it should be: while it stands, and what incidents are made of
    id text primary key,              -- of the row that it is of
    node text not null,
    partition text not null,
    incident_id integer references incident (id),   -- what it is put down to
    attempt text,                     -- epoch.n, where it is of an attempt: a later one makes it void
    held integer not null,            -- it keeps something from readers
    content blob not null,            -- msgpack of observe.diagnosis.evidence.Evidence
    at bigint not null,
    ended_at bigint                   -- it isn't so any more
);
create index evidence_standing on evidence (node, partition) where ended_at is null;
create index evidence_incident on evidence (incident_id) where incident_id is not null;
create index evidence_held on evidence (incident_id) where ended_at is null and held = 1;
create index evidence_warned on evidence (at) where ended_at is null and held = 0;
create index evidence_ended on evidence (ended_at) where ended_at is not null;

create index look_failed on look (source, at) where error is not null;
create index plan_awaiting on plan (id) where state = 'awaiting_approval';

create table judged (                 -- up to where evidence was gathered
    id integer primary key check (id = 1),
    at bigint not null,
    content text not null             -- JSON of observe.incidents.gathering.Cursors
);

create table incident_partition (     -- where the cause itself is seen
    incident_id integer not null references incident (id),
    node text not null,
    partition text not null,
    at bigint not null,
    primary key (incident_id, node, partition)
);
create index incident_partition_of on incident_partition (node, partition);

create table symptom (                -- what it brought about elsewhere: never an incident of its own
    incident_id integer not null references incident (id),
    node text not null,
    partition text not null,
    what text not null,
    at bigint not null,
    primary key (incident_id, node, partition, what)
);
create index symptom_of on symptom (node, partition);

create table incident_event (         -- its timeline: what happened, what was done, by whom
    id integer primary key,
    incident_id integer not null references incident (id),
    at bigint not null,
    what text not null,
    actor text not null,
    act text                          -- of an act of repair: which, so that limits can count it
);
create index incident_event_of on incident_event (incident_id, id);

create table unsound (                -- publications that an incident names as wrong, and since when that is known
    incident_id integer not null references incident (id),
    publication_id integer not null,
    columns text not null,            -- JSON; empty: all
    known_at bigint not null,
    until_at bigint,                  -- the incident turned out not to cover it
    primary key (incident_id, publication_id)
);
create index unsound_publication on unsound (publication_id);

create table notice (                 -- what somebody is told of, over one channel
    id integer primary key,
    incident_id integer references incident (id),
    kind text not null,               -- opened, changed, resolved, at_risk, escalated, digest
    subject text not null,            -- what it is about: the same isn't told twice
    recipient text not null,          -- an owner
    channel text not null,            -- by name: never an address with its secret
    title text not null,
    body text not null,
    said text not null default '',    -- what it is about in short, so that a change of it is noticed
    state text not null check (state in ('waiting', 'sent', 'failed', 'dropped')),
    tries integer not null default 0,
    not_before bigint not null,
    created_at bigint not null,
    sent_at bigint,
    error text,
    reference text                    -- what the channel calls it: a later message about the same goes there
);
create index notice_waiting on notice (not_before) where state = 'waiting';
create index notice_failed on notice (id) where state = 'failed';
create index notice_of_incident on notice (incident_id, id) where incident_id is not null;
create index notice_to on notice (recipient, created_at);
create index incident_resolved on incident (resolved_at) where resolved_at is not null;
create unique index notice_once on notice (subject, kind, recipient, channel);

create table frozen_ledger (          -- delay ledgers whose rows retention has taken; append-only
    consumer text not null,
    interval text not null,
    content text not null,            -- canonical JSON
    hash text not null,
    at bigint not null,
    primary key (consumer, interval)
);

create table usage (                  -- who reads what, by day, as far as reads are seen
    node text not null,
    reader text not null,
    via text not null,                -- read, sql, data, export
    day text not null,                -- in UTC
    reads bigint not null,
    last_at bigint not null,
    primary key (node, reader, via, day)
);

create table look_gap (               -- while nobody looked at a source for so long that how its readers are served isn't known
    source text not null,
    from_at bigint not null,
    until_at bigint not null,         -- the next look
    primary key (source, from_at)
);
create index look_gap_until on look_gap (until_at);

create table withdrawal (             -- a publication that was taken back: nothing of its partition could be read from then on
    node text not null,
    partition text not null,
    at bigint not null,
    primary key (node, partition, at)
);
insert into withdrawal (node, partition, at)
    select node, partition, since from partition where state <> 'published' and state = 'withdrawn' and publication_id is null;
create index withdrawal_at on withdrawal (at);

create index obligation_due on obligation (consumer, due_at);
create index obligation_met_at on obligation (consumer, met_at) where met_at is not null;
create index obligation_waived_at on obligation (consumer, waived_at) where waived_at is not null;

alter table attempt add column dispatched_at bigint;   -- given out; started_at is moved to when its worker came to it

create table pause_past (             -- pauses that are over: the delay ledger tells of them
    node text not null,
    since bigint not null,
    until bigint not null,
    reason text not null,
    actor text not null,
    primary key (node, since)
);

create table weakened (               -- what a version promises less than the one before it
    version integer not null references version (id),
    node text not null,               -- or a consumer
    what text not null,
    was text not null,
    becomes text not null,
    actor text not null,
    at bigint not null
);
create index weakened_at on weakened (at);

create table told_lineage (           -- how far those who collect lineage events were told
    id integer primary key check (id = 1),
    content text not null             -- JSON: store.queries.openlineage.Cursor
);
create index attempt_ended on attempt (finished_at, epoch, n) where finished_at is not null;

-- Runs that retention has taken still count, to the day.

alter table run add column good integer;     -- whether nothing in it failed: kept once the attempts that say so go
create table run_day (                -- what runs came to that retention has taken
    day text not null,                -- in UTC, of their beginnings
    kind text not null,
    state text not null,
    runs bigint not null,
    succeeded bigint not null,
    primary key (day, kind, state)
);
