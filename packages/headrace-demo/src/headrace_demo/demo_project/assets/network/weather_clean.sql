/* headrace
description: Hourly weather with instants; what can't have been measured is empty, hours that weren't observed stay missing
owner: flight-data
domain: network
partition: {by: day, column: observed_on}
checks:
  - unique: [origin, observed_at]
  - not_null: [origin, observed_at]
  - sql:
      name: all_hours_observed
      severity: warning
      query: |
        select origin, count(*) as hours, date_diff('hour', min(observed_on)::timestamptz, (min(observed_on) + 1)::timestamptz) as of_hours
        from $self
        group by origin
        having hours < of_hours
*/
select
    origin,
    make_date(year, month, day) as observed_on,
    time_hour as observed_at,
    temp as temperature_f,
    humid as humidity_pct,
    if(wind_speed <= 200, wind_speed, null) as wind_mph,
    wind_gust as gust_mph,
    precip as precipitation_in,
    visib as visibility_mi
from weather
