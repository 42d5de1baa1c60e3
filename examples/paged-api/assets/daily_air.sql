/* headrace
owner: air-data
partition: {by: day, column: day}
checks:
  - not_null: [district, pm10]
*/
select cast(r.measured_at as date) as day, s.district, round(avg(r.pm10), 2) as pm10, count(*) as readings
from readings as r
join stations as s on s.station_id = r.station_id
group by all
