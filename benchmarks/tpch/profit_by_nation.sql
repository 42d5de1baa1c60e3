select s.nation, year(o.orderdate) as year, sum(l.net - s.cost * l.quantity) as profit
from lines l
join part_supply s on s.partkey = l.partkey and s.suppkey = l.suppkey
join orders_enriched o on o.orderkey = l.orderkey
group by s.nation, year(o.orderdate)
