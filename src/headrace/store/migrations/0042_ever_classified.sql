-- Whether a version or one before it classifies a column: reads needn't look through all versions.

alter table version add column ever_classified integer;  -- null: superseded before this column
update version set ever_classified = case when exists (
    select 1 from version where instr(compiled, cast('classifi' as blob)) > 0
) then 1 else 0 end where id = (select max(id) from version);
