/* headrace
owner: sales-data
partition: [{by: day, column: day}, {key: store}]
checks: [{not_null: [amount]}]
*/
select $partition_start as day, $partition_key as store, sum(amount) as amount, count(*) as sales from sales
