/* headrace
owner: meter-data
partition: {by: day, column: day}
*/
select read_on as day, sum(kwh) as kwh, count(*) as readings from readings group by all
