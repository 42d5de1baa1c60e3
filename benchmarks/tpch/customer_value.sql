select custkey, any_value(segment) as segment, any_value(nation) as nation, sum(net) as net, count(*) as
    orders, max(orderdate) as last_order
from orders_enriched
join order_totals using (orderkey)
group by custkey
