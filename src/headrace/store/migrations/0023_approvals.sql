-- Answers of people to plans that wait for an approval.

create table approval_answer (
    id integer primary key,
    plan_id integer not null references plan(id),
    answer text not null,   -- approved, rejected
    actor text not null,
    reason text not null,
    answered_at bigint not null
);
create index approval_answer_plan on approval_answer (plan_id);
