/* headrace
description: Scheduled and flown departures by airport and local hour
owner: operations
domain: operations
partition: {by: day, column: flight_date}
checks:
  - unique: [flight_date, origin, hour]
  - range: {column: hour, min: 0, max: 23}
*/
select
    flight_date,
    origin,
    hour(scheduled_hour)::integer as hour,
    count(*) as scheduled,
    count(*) filter (not cancelled) as flown,
    round(avg(dep_delay), 1) as mean_dep_delay
from flights_clean
group by flight_date, origin, hour(scheduled_hour)
