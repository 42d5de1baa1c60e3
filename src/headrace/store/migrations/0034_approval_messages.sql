-- Which messages about an approval are queued: none yet, that it is asked for, that it has ended.

alter table approval_request add column notified text not null default '';   -- asked, ended
alter table plan add column notified text not null default '';               -- asked, ended
-- nobody is told of requests from before there were messages
update approval_request set notified = 'ended';
update plan set notified = 'ended' where needs is not null;
create index approval_request_unended on approval_request (id) where notified <> 'ended';
create index plan_unended on plan (id) where needs is not null and notified <> 'ended';
