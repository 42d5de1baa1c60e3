-- What a proposed rename was decided by, and how the values are other than they were.

alter table drift add column measured text;   -- JSON {"candidates": [...], "differs": [...]} of a rename
