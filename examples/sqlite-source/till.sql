create table receipts (id integer primary key, sold_at timestamp not null, amount decimal(9, 2) not null);
insert into receipts (sold_at, amount) values
    ('2026-03-02 09:12:00', 12.50), ('2026-03-02 17:40:11', 3.75), ('2026-03-03 10:05:30', 20);
