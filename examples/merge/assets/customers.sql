/* headrace
owner: sales
partition: day
materialize: merge
merge: {keys: [customer_id], delete: closed}
checks:
  - unique: [customer_id]
  - not_null: [name]
*/
select customer_id, name, city, closed from changes
