-- Trials of changes: what interleaved runs before and after a change came to.

create table trial (
    id integer primary key,
    node text not null,
    finding text,                  -- the finding of `optimize` whose change was tried; null for `ab`
    change text not null,          -- in words: the file or the setting
    version bigint,                -- the version in force
    code_before text not null,     -- fingerprints of the asset's code
    code_after text not null,
    actor text not null,
    at bigint not null,
    verdict text not null,         -- faster, slower, no_effect, not_equal, inconclusive
    content text not null          -- JSON of headrace.advisor.trials.Trial
);
create index trial_finding on trial (finding, id);
