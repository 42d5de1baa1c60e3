/* headrace
owner: shop-data
partition: {by: day, column: day}
*/
with lines as (select ordered_on, customer, unnest(lines) as line from orders)
select l.ordered_on as day, c.address_city as city, sum(l.line.quantity * l.line.price) as revenue
from lines as l join customers as c on c.id = l.customer
group by all
