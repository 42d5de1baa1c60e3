-- Cases of the advisor's rules. Each begins with its dialect and name; then come the findings, as
-- `rule verdict`, or `nothing`; then the statements. `after` is what the last statement becomes by
-- the edits of all its findings.

-- case duckdb: the columns of GROUP BY are distinct
-- distinct_redundant proven
select distinct a, count(*) as n from t group by a;
-- after
select a, count(*) as n from t group by a;

-- case duckdb: without all columns of GROUP BY there may be duplicates
-- nothing
select distinct a from t group by a, b;

-- case duckdb: ROLLUP gives NULL for totals and for NULL
-- nothing
select distinct a, count(*) from t group by rollup (a);

-- case duckdb: one row without GROUP BY
-- distinct_redundant proven
select distinct count(*) from t;

-- case duckdb: through a CTE and a condition
-- distinct_redundant proven
with g as (select a, b, max(c) as m from t group by a, b) select distinct a, b from g where m > 1;

-- case duckdb: a key by a declared primary key
-- distinct_redundant proven
create table t (id int primary key, a int);
select distinct id, a from t;
-- after
select id, a from t;

-- case duckdb: UNIQUE lets rows with NULL repeat
-- nothing
create table t (id int unique, a int);
select distinct id from t;

-- case duckdb: UNIQUE without NULLs is a key
-- distinct_redundant proven
create table t (id int unique, a int);
select distinct id from t where id > 3;

-- case snowflake: keys that the database doesn't enforce
-- distinct_redundant unknown
create table t (id int primary key, a int);
select distinct id from t;

-- case duckdb: a join with a key repeats nothing
-- distinct_redundant proven
create table t (id int primary key, u_id int);
create table u (id int primary key, name varchar);
select distinct t.id, u.name from t join u on u.id = t.u_id;

-- case duckdb: a key compared with another type matches several rows
-- nothing
create table t (id int primary key);
create table u (code varchar primary key, name varchar);
select distinct t.id, u.name from t join u on u.code = t.id;

-- case duckdb: DISTINCT hides a join that repeats rows
-- fan_out_join unknown
create table t (id int primary key, name varchar);
create table u (id int primary key, t_id int);
select distinct t.id, t.name from t join u on u.t_id = t.id;

-- case duckdb: in IN and EXISTS duplicates don't matter
-- distinct_redundant proven
-- distinct_redundant proven
select a from t where b in (select distinct b from u) or exists (select distinct 1 from v);

-- case duckdb: with LIMIT they do
-- nothing
select a from t where b in (select distinct b from u order by b limit 3);

-- case duckdb: below a join duplicates multiply rows
-- nothing
select count(distinct t.a) from t join (select distinct b from u) as x on x.b >= t.b;

-- case duckdb: UNION removes duplicates of its branches
-- distinct_redundant proven
-- distinct_redundant proven
select distinct a from t union select distinct b from u;
-- after
select a from t union select b from u;

-- case duckdb: UNION ALL doesn't
-- nothing
select distinct a from t union all select distinct b from u;

-- case duckdb: the first row of each group
-- distinct_redundant proven
select distinct a from (select a, row_number() over (partition by a order by b) as n from t) as x
where n = 1;

-- case duckdb: chance isn't repeatable
-- distinct_redundant unknown
select distinct a, random() as r from t group by a;

-- case duckdb: functions of users may not be either
-- distinct_redundant unknown
select distinct a, my_function(a) as r from t group by a;

-- case duckdb: LIMIT without an order takes any rows
-- distinct_redundant unknown
select distinct a, count(*) as n from t group by a limit 5;

-- case duckdb: sums of floats depend on the order
-- distinct_redundant unknown
create table t (a int, x double);
select distinct a, sum(x) as s from t group by a;

-- case duckdb: literals that differ
-- union_to_union_all proven
select 'x' as kind union select 'y' union select 'z';
-- after
select 'x' as kind union all select 'y' union all select 'z';

-- case tsql: literals that a database may take for the same
-- nothing
select 'x' as kind union select 'X ';

-- case duckdb: the same rows may stand in both branches
-- nothing
create table t (id int primary key);
create table u (id int primary key);
select id from t union select id from u;

-- case duckdb: branches that a literal tells apart, each with a key
-- union_to_union_all proven
create table t (id int primary key);
create table u (id int primary key);
select id, 't' as origin from t union select id, 'u' from u;

-- case duckdb: a LEFT JOIN of which nothing is used
-- unused_join proven
create table t (id int primary key, u_id int);
create table u (id int primary key, name varchar);
select t.id from t left join u on u.id = t.u_id where t.id > 2;
-- after
select t.id from t where t.id > 2;

-- case duckdb: an inner join drops rows without a match
-- nothing
create table t (id int primary key, u_id int);
create table u (id int primary key, name varchar);
select t.id from t join u on u.id = t.u_id;

-- case duckdb: a foreign key finds a match for each row
-- unused_join proven
create table u (id int primary key, name varchar);
create table t (id int primary key, u_id int not null references u (id));
select t.id from t join u on u.id = t.u_id;

-- case duckdb: a LEFT JOIN that may repeat rows
-- nothing
create table t (id int primary key, u_id int);
create table u (id int, name varchar);
select t.id from t left join u on u.id = t.u_id;

-- case duckdb: columns of a CTE that nothing reads
-- unused_column proven
with x as (select a, b, c from t) select a from x;
-- after
with x as (select a from t) select a from x;

-- case duckdb: a star reads all columns
-- nothing
with x as (select a, b, c from t) select * from x;

-- case duckdb: DISTINCT is about all columns
-- nothing
with x as (select distinct a, b from t) select a from x join u on u.id = x.a;

-- case duckdb: an order that the query around loses
-- order_by_no_effect proven
select count(*) from (select a from t order by a) as x;
-- after
select count(*) from (select a from t) as x;

-- case duckdb: an order that LIMIT needs
-- nothing
create table t (a int primary key);
select count(*) from (select a from t order by a limit 3) as x;

-- case duckdb: NOT IN may meet a NULL
-- not_in_null unknown
select a from t where b not in (select b from u);

-- case duckdb: NOT IN can't meet a NULL
-- not_in_null refuted
select a from t where b not in (select b from u where b is not null);

-- case duckdb: tables without a condition between them
-- cross_join unknown
select t.a from t, u where t.a > 1;

-- case duckdb: one row is no cross join
-- nothing
select t.a, x.m from t, (select max(b) as m from u) as x;

-- case duckdb: a function around a column
-- non_sargable unknown
select a from t where year(day) = 2024;

-- case bigquery: a date that prunes partitions
-- nothing
select a from t where date(at) = '2024-01-01';

-- case duckdb: every column of a table
-- select_star unknown
select * from t;

-- case duckdb: a subquery for each row
-- correlated_subquery unknown
select a, (select max(u.b) from u where u.a = t.a) as b from t;

-- case duckdb: the same subquery twice
-- repeated_subquery unknown
select x.a from (select a, count(*) as n from t group by a) as x
join (select a, count(*) as n from t group by a) as y on y.n = x.n;

-- case duckdb: keys that the joins suggest
-- distinct_conditional unknown
select distinct t.id, t.line from t join u on u.id = t.id and u.line = t.line;
