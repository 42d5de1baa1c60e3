create schema core;
create table core.branches (id integer primary key, name text not null, closed boolean not null default false);
create table core.transfers (
    id bigint primary key,
    branch integer not null references core.branches,
    amount numeric(12, 2) not null,
    booked_at timestamptz not null,
    changed_at timestamptz not null
);
insert into core.branches values (1, 'Harbour', false), (2, 'Old Town', false), (3, 'Airport', true);
insert into core.transfers values
    (1, 1, 120.50, '2026-03-01 10:00+01', '2026-03-01 10:00+01'), (2, 2, 80.25, '2026-03-01 23:59+01', '2026-03-01 23:59+01'),
    (3, 1, 310.00, '2026-03-02 00:00+01', '2026-03-02 00:00+01'), (4, 2, 45.10, '2026-03-02 12:30+01', '2026-03-02 12:30+01'),
    (5, 1, 7.77, '2026-03-03 08:00+01', '2026-03-03 08:00+01');
