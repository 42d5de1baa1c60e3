-- Which trials prove a finding of `optimize`, so that the weekly digest can propose it.

alter table trial add column proven integer not null default 0;   -- 1: `optimize apply` can apply it
