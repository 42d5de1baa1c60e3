/* headrace
owner: retail
domain: retail
*/
select
  o.order_id,
  o.customer_id,
  c.iban,
  c.city,
  cast(o.amount as decimal(18, 2)) as amount
from orders o
join customers c on c.id = o.customer_id
