-- Promises begin when they are applied, or with their `since`: what was due before, or while a
-- consumer was removed, was never promised.

alter table promise add column begins_at bigint;                       -- what is due from then on is judged by it
update promise set begins_at = from_at;
delete from obligation where waived_at is null                          -- a waiver stays, with its entry of the audit trail
    and exists (select 1 from promise where promise.consumer = obligation.consumer)
    and not exists (
        select 1 from promise where promise.consumer = obligation.consumer
            and promise.from_at <= obligation.due_at
            and (promise.until_at is null or promise.until_at >= obligation.due_at)
    );
