-- Why, and by whom, a publication was withdrawn: its partition's state says so only until another delivery comes.

alter table withdrawal add column reason text;
update withdrawal set reason = (
    select p.reason from partition p
    where p.node = withdrawal.node and p.partition = withdrawal.partition and p.state = 'withdrawn' and p.publication_id is null
);
