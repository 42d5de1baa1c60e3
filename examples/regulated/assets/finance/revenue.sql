/* headrace
owner: finance
domain: finance
*/
select city, sum(amount) as revenue, count(*) as orders
from order_lines
group by city
