/* headrace
owner: ledger-data
partition: {by: day, column: day}
checks:
  - not_null: [holder]
*/
select p.booked_on as day, p.account, a.holder, sum(p.amount) as moved
from postings as p
left join accounts as a on a.account = p.account
group by all
