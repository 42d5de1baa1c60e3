/* headrace
owner: sales
partition: {by: day, column: day}
*/
select day, sum(amount) as amount, count(*) as orders from paid_orders group by day
