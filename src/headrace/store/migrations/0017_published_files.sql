-- What looks at the files of `materialize: files` saw, one row for each publication that readers see.

create table published_file_look (
    publication_id bigint primary key,
    looked_at bigint not null,
    path text,                        -- the first file with which something is wrong, relative to the data folder
    size_bytes bigint,                -- of that file, as it was published
    wrong text,                       -- what is wrong with it, as a clause; null: all are as they were published
    wrong_since bigint                -- the first look that found that
);
create index published_file_wrong on published_file_look (publication_id) where wrong is not null;
