/* headrace
owner: shop
partition: {by: day, column: day}
checks: [{unique: [day, till]}]
*/
select cast(day as date) as day, till, count(*) as sales, sum(cast(amount as decimal(12, 2))) as amount
from sales
group by all
