/* headrace
owner: sales
materialize: append
*/
select counted_at, article, pieces from stock
