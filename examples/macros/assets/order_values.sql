/* headrace
owner: sales
partition: day
checks:
  - sql: {name: every_currency_has_a_rate, query: "select * from $self where in_euros(net, currency) is null"}
*/
select order_id, net, currency, in_euros(net, currency) as euros, spread(net, smallest := 10) as size
from orders
