-- Amounts of money. Every SQL asset and check may call these.
create macro in_euros(amount, currency) as
    cast(amount * case currency when 'EUR' then 1 when 'USD' then 0.92 end as decimal(18, 2));

create macro spread(value, smallest := 0) as
    case when value < smallest then 'small' else 'large' end;
