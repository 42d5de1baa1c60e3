-- Promises begin when they are applied, or with their `since`: what was due before was never promised.

alter table promise add column begins_at bigint;                       -- what is due from then on is judged by it
update promise set begins_at = from_at;
delete from obligation where waived_at is null                          -- a waiver stays, with its entry of the audit trail
    and due_at < (select min(promise.from_at) from promise where promise.consumer = obligation.consumer);
