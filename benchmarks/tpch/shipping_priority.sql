select l.orderkey, o.orderdate, sum(l.net) as net
from lines l
join orders_enriched o on o.orderkey = l.orderkey
where o.segment = 'BUILDING' and o.orderdate < date '1995-03-15' and l.shipdate > date '1995-03-15'
group by l.orderkey, o.orderdate
