select l_orderkey as orderkey, l_linenumber as linenumber, l_partkey as partkey, l_suppkey as suppkey,
    l_quantity as quantity, l_extendedprice as price, l_discount as discount, cast(l_extendedprice * (1 -
    l_discount) as decimal(18, 4)) as net, l_returnflag as returnflag, l_linestatus as linestatus, l_shipdate
    as shipdate, l_commitdate as commitdate, l_receiptdate as receiptdate, l_shipmode as shipmode
from lineitem
