select region, date_trunc('month', orderdate) as month, sum(net) as net, count(*) as orders
from orders_enriched
join order_totals using (orderkey)
group by region, date_trunc('month', orderdate)
