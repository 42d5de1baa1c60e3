/* headrace
owner: sales-data
partition: {by: month, column: month}
*/
select $partition_start as month, sum(amount) as amount, count(*) as days from days
