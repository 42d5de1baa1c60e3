select o_orderkey as orderkey, o_custkey as custkey, o_orderdate as orderdate, o_orderpriority as priority,
    c_mktsegment as segment, n_name as nation, r_name as region
from orders
join customer on c_custkey = o_custkey
join nation on n_nationkey = c_nationkey
join region on r_regionkey = n_regionkey
