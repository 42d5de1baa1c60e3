-- Anomalies that would have held their partition, had a policy not let it through, and since when
-- somebody accepted them.
alter table fact add column let_through bigint not null default 0;
alter table fact add column accepted_at bigint;
