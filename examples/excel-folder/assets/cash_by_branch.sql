/* headrace
owner: branch-data
partition: [{by: day, column: day}, {key: branch}]
*/
select day, branch, sum(amount) as cash, count(*) as tills from counts group by all
