/* headrace
description: What the weather did to departures; flights without an observation are counted, not dropped
owner: operations
domain: operations
partition: {by: day, column: flight_date}
checks:
  - unique: [flight_date, conditions, dark]
  - not_null: [conditions]
*/
select
    f.flight_date,
    coalesce(c.conditions, 'not observed') as conditions,
    c.dark,
    count(*) as flights,
    count(*) filter (f.cancelled) as cancelled,
    round(avg(f.dep_delay), 1) as mean_dep_delay
from flights_clean f
left join flying_conditions c on c.observed_on = f.flight_date and c.origin = f.origin and c.observed_at = f.scheduled_hour
group by f.flight_date, coalesce(c.conditions, 'not observed'), c.dark
