/* headrace
owner: analytics
partition: {by: day, column: day}
*/
select (t.booked_at at time zone 'Europe/Berlin')::date as day, b.name as branch, count(*) as transfers, sum(t.amount) as volume
from transfers t join branches b on b.id = t.branch
where t.booked_at >= $partition_start and t.booked_at < $partition_end
group by all
