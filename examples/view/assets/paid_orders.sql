/* headrace
owner: sales
materialize: view
checks:
  - sql: {name: no_free_orders, query: "select * from $self where amount = 0"}
*/
select order_id, day, amount from orders where paid
