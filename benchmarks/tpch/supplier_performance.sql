select suppkey, count(*) as lines, count(*) filter (receiptdate > commitdate) as late, avg(date_diff('day',
    shipdate, receiptdate)) as mean_days
from lines
group by suppkey
