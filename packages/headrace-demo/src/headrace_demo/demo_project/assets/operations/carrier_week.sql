/* headrace
description: Each carrier's last seven days, so that one bad day doesn't look like a bad carrier
owner: operations
domain: operations
partition: {by: day, column: flight_date}
inputs: {carrier_delays: {lookback: 6d}}
checks:
  - unique: [flight_date, carrier]
  - range: {column: days, min: 1, max: 7}
*/
select
    cast($partition_start as date) as flight_date,
    carrier,
    count(distinct flight_date) as days,
    sum(flights)::bigint as flights,
    sum(cancelled)::bigint as cancelled,
    round(sum(arr_delay_minutes) / nullif(sum(arrived), 0), 1) as mean_arr_delay
from carrier_delays
group by carrier
