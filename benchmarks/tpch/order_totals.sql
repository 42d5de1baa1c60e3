select orderkey, sum(net) as net, count(*) as lines, max(receiptdate) as received
from lines
group by orderkey
