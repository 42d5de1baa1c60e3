-- What became of a delivery's attempts is asked before each attempt at it.
create index attempt_of_delivery on attempt (delivery_id) where delivery_id is not null;
