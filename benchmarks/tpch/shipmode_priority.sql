select l.shipmode, count(*) filter (o.priority in ('1-URGENT', '2-HIGH')) as high, count(*) as lines
from lines l
join orders_enriched o on o.orderkey = l.orderkey
where l.receiptdate > l.commitdate
group by l.shipmode
