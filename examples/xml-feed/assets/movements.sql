/* headrace
owner: treasury
partition: {by: day, column: day}
*/
select "Booked" as day, "Party_Name" as party, sum(case when "Direction" = 'CRDT' then "Amount" else -"Amount" end) as moved
from entries
group by all
