select partkey, any_value(brand) as brand, sum(net - cost * quantity) as margin, sum(quantity) as quantity
from lines
join part_supply using (partkey, suppkey)
group by partkey
