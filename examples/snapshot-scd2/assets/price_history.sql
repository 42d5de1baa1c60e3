/* headrace
owner: sales
partition: day
materialize: snapshot
snapshot: {keys: [article], columns: [price], deletes: close}
checks:
  - sql: {name: one_current_price, query: "select article from $self where is_current group by article having count(*) > 1"}
*/
select article, price, stock from prices
