/* headrace
description: One row a scheduled flight, with instants instead of clock faces and the outcome said in words
owner: flight-data
domain: operations
partition: {by: day, column: flight_date}
checks:
  - unique: [flight_id]
  - not_null: [flight_id, scheduled_at, carrier, origin, dest]
  - accepted_values: {column: origin, values: [EWR, JFK, LGA]}
  - range: {column: distance, min: 1, max: 6000}
  - row_count: {min: 500, max: 1500}
  - sql:
      name: outcome_is_whole
      query: select * from $self where cancelled and (departed_at is not null or arr_delay is not null or air_time is not null)
  - sql:
      name: many_cancelled
      severity: warning
      query: |
        select count(*) filter (cancelled) as cancelled, count(*) as flights,
               count(distinct carrier) filter (cancelled) as carriers_hit, count(distinct carrier) as carriers
        from $self
        having count(*) filter (cancelled) > 0.25 * count(*)
*/
select
    md5(concat_ws('|', carrier, flight, origin, dest, epoch(time_hour))) as flight_id,
    make_date(year, month, day) as flight_date,
    time_hour + to_minutes(minute) as scheduled_at,
    time_hour + to_minutes(minute + dep_delay) as departed_at,
    carrier,
    flight,
    tailnum,
    origin,
    dest,
    dep_delay,
    arr_delay,
    air_time,
    distance,
    time_hour as scheduled_hour,
    dep_time is null as cancelled,
    dep_time is not null and arr_delay is null as diverted
from flights
