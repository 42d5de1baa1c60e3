/* headrace
owner: risk
domain: risk
*/
select order_id, customer_id, iban, amount
from order_lines
where amount >= 10
