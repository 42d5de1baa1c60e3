/* headrace
description: How each plane was used; a plane that the register doesn't know is kept, and said
owner: operations
domain: operations
partition: {by: day, column: flight_date}
checks:
  - unique: [flight_date, tailnum]
  - not_null: [tailnum]
  - references: {column: tailnum, to: planes.tailnum, name: plane_has_a_record, severity: warning}
*/
select
    f.flight_date,
    f.tailnum,
    p.manufacturer,
    p.model,
    p.seats,
    count(*) as flights,
    sum(f.distance)::bigint as miles,
    sum(f.distance * p.seats)::bigint as seat_miles
from flights_clean f
left join fleet p on p.tailnum = f.tailnum
where f.tailnum is not null and not f.cancelled
group by f.flight_date, f.tailnum, p.manufacturer, p.model, p.seats
