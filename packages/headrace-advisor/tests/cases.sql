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
-- fan_out_join proven
create table t (id int primary key, name varchar);
create table u (id int primary key, t_id int);
select distinct t.id, t.name from t join u on u.t_id = t.id;
-- after
select t.id, t.name from t where exists (select 1 from u where u.t_id = t.id);

-- case duckdb: EXISTS in place of a join keeps the other conditions
-- fan_out_join proven
create table t (id int primary key, name varchar);
create table u (id int primary key, t_id int);
select distinct t.id, t.name from t inner join u on u.t_id = t.id and u.id > 1 where t.id = 3 or t.name = 'b' order by t.id;
-- after
select t.id, t.name from t where (t.id = 3 or t.name = 'b') and exists (select 1 from u where u.t_id = t.id and u.id > 1) order by t.id;

-- case duckdb: a table that conditions use, too, isn't only asked for a match
-- fan_out_join unknown
create table t (id int primary key, name varchar);
create table u (id int primary key, t_id int);
select distinct t.id, t.name from t join u on u.t_id = t.id where u.id > 1;

-- case duckdb: a window counts the rows before DISTINCT
-- fan_out_join unknown
create table t (id int primary key, name varchar);
create table u (id int primary key, t_id int);
select distinct t.id, count(*) over () as n from t join u on u.t_id = t.id;

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

-- case duckdb: a column of an unknown type may hold floats
-- distinct_redundant unknown
select distinct a, sum(x) as s from t group by a;

-- case duckdb: a division of whole numbers gives floats
-- distinct_redundant unknown
create table t (a int, x int);
select distinct a, sum(x / 3) as s from t group by a;

-- case duckdb: sums of whole numbers don't depend on the order
-- distinct_redundant proven
create table t (a int, x int);
select distinct a, sum(x) as s from t group by a;
-- after
select a, sum(x) as s from t group by a;

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

-- case duckdb: a table of the same name in another schema
-- nothing
create table s1.t (id int primary key);
select distinct id from s2.t;

-- case duckdb: a name that is created twice
-- nothing
create table t (id int primary key);
drop table t;
create table t (id int);
select distinct id from t;

-- case postgres: a constraint that is dropped
-- nothing
create table t (id int constraint t_key primary key);
alter table t drop constraint t_key;
select distinct id from t;

-- case postgres: rows of a child aren't among the keys of the parent
-- nothing
create table p (id int primary key);
create table c () inherits (p);
select distinct id from p;

-- case postgres: names that differ in upper and lower case only
-- nothing
create table t ("ID" int primary key, id int);
select distinct id from t;

-- case sqlite: NULLs repeat in a primary key
-- nothing
create table t (code text primary key);
select distinct code from t;

-- case duckdb: a function that gives several rows for one
-- nothing
create table t (id int primary key, parts int[]);
select distinct id, unnest(parts) as part from t;

-- case duckdb: a column that gives several rows for one
-- nothing
select x.a from (select a, unnest(b) as c from t) as x;

-- case duckdb: a field of a struct is no column of a query around
-- nothing
select distinct a from t group by a, s.x;

-- case duckdb: an alias in a condition is no column of a query around
-- unused_column proven
create table t (a int, b int primary key, c int);
select distinct c from (select c, b, cast(a as int) as x from t where x = b) as y;

-- case duckdb: the name of a subquery means all of its columns
-- nothing
with x as (select a, b from t) select x from x;

-- case duckdb: COLUMNS reads columns by a pattern
-- nothing
with x as (select a, b from t) select columns('a|b') from x;

-- case duckdb: the last aggregate isn't the one of a window
-- nothing
with x as (select count(*) as n, max(1) over () as m from t) select m from x;

-- case duckdb: an aggregate that only DuckDB knows
-- nothing
with x as (select product(a) as p, 1 as one from t) select one from x;

-- case duckdb: aggregates that count each row
-- nothing
select max(a), product(a) from (select distinct a from t) as x;

-- case duckdb: the largest values repeat
-- nothing
select max(a, 2) from (select distinct a from t) as x;

-- case duckdb: UNION BY NAME compares columns by their names
-- nothing
select 1 as a, 2 as b union by name select 2 as b, 1 as a;

-- case postgres: texts become numbers beside a number
-- nothing
select count(*) as k, 'y' as o from t union select '1', 'x' union select '01', 'x';

-- case duckdb: numbers with more digits than a float has
-- nothing
select 0.1 as k union select 0.1000000000000000055511151231257827;

-- case duckdb: a recursion that ends by UNION
-- distinct_redundant proven
with recursive r as (select 1 as n, 'a' as k union select distinct 1 - n, 'b' from r)
select n from r where k = 'a';

-- case duckdb: a month and 30 days are equal
-- nothing
create table t (i interval);
select distinct i from (select i, i::varchar as text from t group by 1, 2) as x;

-- case duckdb: a collation by which several keys are equal
-- nothing
create table t (s varchar collate nocase, id int, primary key (s, id));
select distinct id from t where s = 'a';

-- case duckdb: integers that are compared as floats
-- nothing
create table t (id int primary key, h hugeint);
create table u (k uhugeint primary key);
select distinct t.id from t join u on u.k = t.h;

-- case duckdb: tables in brackets have columns, too
-- nothing
select distinct t.a, u.c from t left join (u join v on u.a = v.a) on t.a = u.a;

-- case duckdb: the most frequent value depends on the order where several are
-- order_by_no_effect unknown
select mode(id) from (select id from t order by id desc) as x;

-- case duckdb: texts that templates expand to may be the same
-- nothing
select '{{ a }}' as k union select '{{ bbb }}';

-- case duckdb: an apostrophe in a comment quotes nothing
-- distinct_redundant unknown
/* don't */ select distinct a, count({{ more }}) as n from t group by a;

-- case spark: LATERAL VIEW after a join stays
-- unused_join proven
create table t (id int, parts array<int>);
select distinct t.id, e.p from t left join u on u.id = t.id lateral view explode(t.parts) e as p;
-- after
select distinct t.id, e.p from t lateral view explode(t.parts) e as p;

-- case duckdb: branches of UNION for different values of a column
-- union_to_union_all proven
create table t (id int primary key, kind varchar not null, day date not null, n decimal(9, 2));
select id, kind from t where kind = 'a' union select id, kind from t where kind = 'b';

-- case duckdb: branches of UNION for different days
-- union_to_union_all proven
create table t (id int primary key, day date not null);
select id, day from t where day = date '2025-03-01' union select id, day from t where day = '2025-03-02'::date;

-- case duckdb: one number written in two ways
-- nothing
create table t (id int primary key, n decimal(9, 2));
select id, n from t where n = 1 union select id, n from t where n = 1.00;

-- case duckdb: a text compared with a number may be several texts
-- nothing
create table t (id int primary key, kind varchar not null);
select id, kind from t where kind = 1 union select id, kind from t where kind = 2;

-- case duckdb: a constant of a LEFT JOIN is NULL without a match
-- nothing
create table t (id int primary key);
select x.s, 1 as n from t left join (select 1 as id, 'a' as s) as x using (id) where t.id = 7
union
select x.s, 1 as n from t left join (select 1 as id, 'b' as s) as x using (id) where t.id = 7;

-- case duckdb: totals have NULL where rows have the value
-- nothing
create table t (id int primary key, kind varchar not null);
select kind, 1 as n from t where kind = 'a' group by rollup (kind)
union select kind, 1 as n from t where kind = 'b' group by rollup (kind);

-- case duckdb: DISTINCT inside of aggregates
-- distinct_redundant proven
-- distinct_redundant proven
create table t (id int primary key, kind varchar);
select kind, count(distinct id), max(distinct kind) from t group by kind;
-- after
select kind, count(id), max(kind) from t group by kind;

-- case snowflake: types of dbt
-- distinct_redundant proven
select distinct cast(a as {{ dbt.type_string() }}) as a, count(*) as n from t group by cast(a as {{dbt.type_string()}});

-- case duckdb: of two DISTINCTs that need each other, one stays
-- distinct_redundant proven
with w as (select distinct a from t) select distinct a from w;
-- after
with w as (select distinct a from t) select a from w;

-- case duckdb: of a UNION and the DISTINCT below it, one stays
-- union_to_union_all proven
select distinct a, 1 as n from t union select distinct a, 2 from t;
-- after
select distinct a, 1 as n from t union all select distinct a, 2 from t;

-- case duckdb: IN makes both superfluous
-- distinct_redundant proven
-- distinct_redundant proven
select a from t where a in (select distinct b from (select distinct b, c from u) as x);
-- after
select a from t where a in (select b from (select b, c from u) as x);

-- case duckdb: three after each other
-- distinct_redundant proven
-- distinct_redundant proven
select distinct a from (select distinct a from (select distinct a, b from t) as x) as y;

-- case duckdb: of a DISTINCT and the count of distinct values that ignores it, one stays
-- distinct_redundant proven
select a, count(distinct b) from (select distinct a, b from t) as x group by a;
-- after
select a, count(b) from (select distinct a, b from t) as x group by a;

-- case duckdb: whether a comparison of other types fails depends on the plan
-- fan_out_join unknown
-- order_by_no_effect unknown
create table t (a int, b varchar);
create table u (b date);
select t.a from (select a, b from t order by a) as t join u on u.b = t.b;

-- case duckdb: a number that is merged with a date may fail to become one
-- distinct_redundant unknown
create table t (id int primary key, c int not null);
create table u (c date not null, d varchar);
select t.id from (select distinct t.id, u.d from t join u using (c)) as t join (select distinct id from t) as x on x.id = t.id;

-- case duckdb: a full join merges columns of several types
-- distinct_redundant unknown
create table t (id int primary key, c int not null);
create table u (c date primary key);
select distinct t.id, u.c from t full join u using (c);

-- case duckdb: a natural join compares a text with a number
-- distinct_redundant unknown
create table t (id int primary key, c varchar not null);
create table u (c int primary key);
select distinct t.id, u.c from t natural join u;

-- case duckdb: a column of texts that is compared with a number
-- distinct_redundant unknown
-- distinct_redundant unknown
-- distinct_redundant unknown
create table t (id int primary key, c varchar not null);
select distinct id from t where c = 1;
select distinct id from t where c in (1, 2);
select distinct id from t where id between 3 and c;

-- case duckdb: texts that are written in the query convert for all rows or none
-- distinct_redundant proven
-- distinct_redundant proven
create table t (id int primary key, d date, at timestamp);
select distinct id from t where d >= '2025-03-01' and at > d;
select distinct id from t where d in ('2025-03-01', '2025-03-02') or d between '2025-01-01' and '2025-01-31';

-- case duckdb: a column that is called like its table is taken for a key
-- fan_out_join unknown
select o.id, c.name, d.label from orders as o
join countries as c on c.country = o.country
join icd_10_cm as i on i.icd_10_cm = o.code
join ratings as d on d.label = o.label;

-- case duckdb: an inner join that drops the rows for which a LEFT JOIN finds no match
-- nothing
create table u (id int primary key);
create table t (id int primary key, u_id int not null references u (id));
create table s (id int primary key, t_id int);
select s.id, t.id as t_id from s left join t on t.id = s.t_id join u on u.id = t.u_id;

-- case duckdb: chance in a condition isn't repeatable either
-- fan_out_join unknown
create table t (id int primary key, name varchar);
create table u (id int primary key, t_id int);
select distinct t.id, t.name from t join u on u.t_id = t.id where random() < 0.5;

-- case duckdb: a primary key keeps texts that DISTINCT takes for the same
-- nothing
create table t (s varchar collate nocase primary key);
select distinct s from t;

-- case duckdb: a LEFT JOIN LATERAL of which nothing is used
-- unused_join proven
create table t (a int, b int);
select distinct t.a from t left join lateral (select count(*) as n from u where u.b = t.b) as x on true where t.a > 2;
-- after
select distinct t.a from t where t.a > 2;

-- case snowflake: a template that names a column may read it
-- nothing
with x as (select a, born from t) select a, {{ dbt.datediff("born", "now", "day") }} as age from x;

-- case snowflake: a template in a SELECT list may stand for any columns
-- nothing
with x as (select a, b from t) select a, {{ dbt_utils.star(from=ref('x')) }} from x;

-- case snowflake: a column that a template names has no known name
-- nothing
with x as (select a, b as {{ quote('plan') }} from t) select a from x where {{ quote('plan') }} > 1;

-- case snowflake: a template that names other columns
-- unused_column unknown
with x as (select a, b, c from t) select a, {{ dbt.datediff("b", "now", "day") }} as age from x;

-- case duckdb: a CTE that gives a table another name, and whose columns are named after it
-- nothing
with o as (select * from orders), c as (select o.id, o.day from o) select c.id, c.day from c;

-- case duckdb: a star over a table that another star reads
-- select_star unknown
with o as (select * from orders) select * from o;

-- case duckdb: a star over a table that is read by its columns' number
-- select_star unknown
with o as (select * from orders) select id from (select id from customers union all from o) as x;

-- case duckdb: a calendar has each day once
-- nothing
select o.id, c.week from orders as o join reference_data__calendar as c on c.full_date = o.day;

-- case duckdb: a join on the day of a timestamp doesn't become faster by a range
-- fan_out_join unknown
select o.id, p.price from orders as o join prices_by_day as p on p.day = cast(o.at as date);

-- case duckdb: COLUMNS reads the columns of each table
-- nothing
create table t (id int primary key, u_id int);
create table u (id int primary key, name varchar);
select columns('id|name') from t left join u on u.id = t.u_id;

-- case duckdb: on the left of IN a query gives one value
-- nothing
select id from t where (select distinct k from u) in ('a', 'b');

-- case duckdb: in a list of values a query gives one value
-- nothing
select id from t where x in ('z', (select distinct k from u));

-- case duckdb: IN looks for a value among rows
-- distinct_redundant proven
select id from t where x in (select distinct k from u);

-- case postgres: without `u.a`, ORDER BY would mean the column that USING merges
-- nothing
create table t (a int primary key, b int);
create table u (a int primary key);
with x as (select u.a, t.b from t left join u using (a) order by a limit 2) select b from x;

-- case postgres: a foreign key to the table of that name in another schema
-- nothing
create table s1.u (id int primary key);
create table t (id int primary key, u_id int not null references s2.u (id));
select t.id from t join s1.u on u.id = t.u_id;

-- case duckdb: a column that is called like a clause doesn't end a join
-- unused_join proven
create table t (id int primary key, u_id int, kind int);
create table u (id int primary key, format int);
select t.id from t left join u on u.id = t.u_id and t.kind = u.format where t.id > 2;
-- after
select t.id from t where t.id > 2;

-- case duckdb: prices of a day aren't a calendar
-- fan_out_join unknown
select o.id, r.rate from orders as o join fx_rates_by_day as r on r.day = o.day;

-- case duckdb: a CTE whose columns have names of their own reads them by their place
-- select_star unknown
with o (id, day) as (select * from orders) select o.id from o;

-- case duckdb: a subquery in a list of values refers to the row around it
-- correlated_subquery unknown
select id from t where x in ('z', (select max(u.k) from u where u.t_id = t.id));
