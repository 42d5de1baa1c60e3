/* headrace
owner: shop-data
partition: {by: day, column: day}
checks:
  - unique: [day]
*/
select ordered_on as day, sum(amount) as revenue from orders group by all
