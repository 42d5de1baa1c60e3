-- The list of an attempt's partitions may be longer than an entry of an index of PostgreSQL can be.

drop index attempt_partitions;
create index attempt_partitions on attempt (node, substr(partitions, 1, 256), epoch, n);
drop index attempt_of_delivery;   -- the same as attempt_delivery
