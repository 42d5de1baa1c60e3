-- Partitions that were removed because they can be computed again, with the hash of their rows.

create table rebuildable_partition (
    node text not null,
    partition text not null,
    publication_id bigint not null,   -- the publication whose rows were removed
    rows bigint not null,
    content_hash text not null,
    version bigint not null,          -- the version whose code gave these rows again
    engine text not null,             -- Headrace and DuckDB with which it did
    removed_at bigint not null,
    primary key (node, partition)
);
