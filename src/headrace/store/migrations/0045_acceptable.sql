-- Whether accepting the data as an exception can publish it: no rule reads some deliveries.
alter table quarantine add column acceptable integer not null default 1;
update quarantine set acceptable = 0 where state = 'rejected' and (path is null or path like 'raw/%');
