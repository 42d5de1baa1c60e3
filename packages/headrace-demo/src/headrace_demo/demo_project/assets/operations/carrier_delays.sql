/* headrace
description: Punctuality by carrier and day, as the regulator wants it
owner: compliance
domain: operations
tags: [regulated]
partition: {by: day, column: flight_date}
checks:
  - unique: [flight_date, carrier]
  - not_null: [carrier, carrier_name, flights]
  - range: {column: late_share, min: 0, max: 1}
  - row_count: {min: 10, max: 20}
  - sql: {name: parts_add_up, query: "select * from $self where arrived + cancelled + diverted <> flights"}
*/
select
    f.flight_date,
    f.carrier,
    a.name as carrier_name,
    count(*) as flights,
    count(*) filter (f.cancelled) as cancelled,
    count(*) filter (f.diverted) as diverted,
    count(f.arr_delay) as arrived,
    count(*) filter (f.arr_delay >= $threshold) as late,
    round(count(*) filter (f.arr_delay >= $threshold) / nullif(count(f.arr_delay), 0), 4) as late_share,
    sum(f.dep_delay)::bigint as dep_delay_minutes,
    sum(f.arr_delay)::bigint as arr_delay_minutes,
    round(avg(f.arr_delay), 1) as mean_arr_delay
from flights_clean f
left join airlines a on a.carrier = f.carrier
group by f.flight_date, f.carrier, a.name
