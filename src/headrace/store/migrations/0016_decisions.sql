-- When somebody decided about what waited, and what was said: the delay ledger tells what nobody
-- decided about apart from what was waited for after that.

alter table quarantine add column decided_at bigint;
alter table quarantine add column decided text;
