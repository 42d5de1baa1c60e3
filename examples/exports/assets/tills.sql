/* headrace
owner: shop
*/
select till, max(day) as last_seen, sum(amount) as amount
from takings
group by till
