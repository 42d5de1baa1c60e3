/* headrace
owner: shop
checks:
  - unique: [day]
*/
select sold_at::date as day, count(*) as receipts, sum(amount) as takings
from receipts
group by all
