-- What looks at the lake's files saw: whether each is there as it was published.

create table lake_file_look (         -- the newest look at a file that readers see
    file_id bigint primary key,       -- data_file_id of the catalog
    footer text not null,             -- hash of its footer at the first look; empty: there was none to be read
    looked_at bigint not null,
    wrong text,                       -- what is wrong with it, as a clause; null: it is as it was published
    wrong_since bigint                -- the first look that found that
);
create index lake_file_wrong on lake_file_look (file_id) where wrong is not null;

create table lake_file_round (        -- where the rotation over all files is
    id integer primary key check (id = 1),
    after_file bigint not null,
    at bigint not null
);
