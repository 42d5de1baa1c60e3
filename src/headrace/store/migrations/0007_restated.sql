-- What was replaced lately, by when it was: readers are told that the past changed.

create index publication_ended on publication (ended_at) where ended_at is not null;
