-- Plans other than backfills that wait for an approval, and which needs of a rule each answer meets.

create table approval_request (
    id integer primary key,
    kind text not null,               -- apply, fix, release
    plan_id text not null,
    version bigint,                   -- the applied version that it starts from
    actor text not null,
    reason text not null,
    command text not null,            -- what the person who asked types again
    needs text not null,              -- JSON of model.policy.Approval
    created_at bigint not null,
    used_at bigint                    -- when the approved plan was done
);
create index approval_request_plan on approval_request (plan_id);
create index approval_request_unused on approval_request (id) where used_at is null;

create table approval_answer_new (
    id integer primary key,
    plan_id integer references plan(id),
    request_id integer references approval_request(id),
    answer text not null,             -- approved, rejected
    actor text not null,
    people text not null default '[]',    -- JSON: the actor, and who created the token that they used
    meets text not null default '[]',     -- JSON: [role, of] of the needs that the answer meets
    reason text not null,
    answered_at bigint not null
);
insert into approval_answer_new (plan_id, answer, actor, reason, answered_at)
    select plan_id, answer, actor, reason, answered_at from approval_answer order by id;
drop table approval_answer;
alter table approval_answer_new rename to approval_answer;
create index approval_answer_plan on approval_answer (plan_id);
create index approval_answer_request on approval_answer (request_id);
