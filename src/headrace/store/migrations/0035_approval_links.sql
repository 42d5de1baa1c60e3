-- Through which message people answered, and which partitions wait for an approval.

alter table approval_answer add column link text;   -- the recipient of the link; each is used once
create unique index approval_answer_plan_link on approval_answer (plan_id, link)
    where plan_id is not null and link is not null;
create unique index approval_answer_request_link on approval_answer (request_id, link)
    where request_id is not null and link is not null;
-- JSON: [node, first, last] of the partitions that wait for the request
alter table approval_request add column spans text not null default '[]';
