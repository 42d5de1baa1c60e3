-- What an attempt in an environment read of production, so that what it made can be published there as it is.

create table borrowed_read (          -- production's snapshot, taken before the attempt's inputs were looked up
    epoch bigint not null,
    n bigint not null,
    snapshot bigint not null,
    primary key (epoch, n)
);
