select ps_partkey as partkey, ps_suppkey as suppkey, ps_supplycost as cost, p_brand as brand, p_type as type,
    s_name as supplier, n_name as nation
from partsupp
join part on p_partkey = ps_partkey
join supplier on s_suppkey = ps_suppkey
join nation on n_nationkey = s_nationkey
