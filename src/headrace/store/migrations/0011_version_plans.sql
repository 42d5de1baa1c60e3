-- A version holds the plan that it was applied by. Versions of before have none.
alter table version add column plan_id text;
alter table version add column steps text;  -- JSON: the plan's steps, in order
