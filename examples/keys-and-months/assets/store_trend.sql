/* headrace
owner: sales-data
partition: [{by: day, column: day}, {key: store}]
inputs: [{store_days: {lookback: 7d}}]
*/
select $partition_start as day, $partition_key as store, avg(amount) as usual_amount, count(*) as days from store_days
