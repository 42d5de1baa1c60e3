/* headrace
owner: sales-data
partition: {by: day, column: day}
inputs: [{weather: {optional: true}}]
*/
select d.day, sum(d.amount) as amount, count(*) as stores, max(w.rain_mm) as rain_mm
from store_days d left join weather w on w.day = d.day
group by d.day
