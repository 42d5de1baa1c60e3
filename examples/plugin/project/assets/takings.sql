/* headrace
owner: shop
partition: {by: day, column: day}
checks:
- unique: [day, ean, town]
- check_digit: {column: ean}
*/
select day, ean, town, sum(amount) as amount
from sales join tills using (till)
group by all
