select returnflag, linestatus, sum(quantity) as quantity, sum(price) as price, sum(net) as net, avg(discount)
    as mean_discount, count(*) as lines
from lines
where shipdate <= date '1998-09-02'
group by returnflag, linestatus
