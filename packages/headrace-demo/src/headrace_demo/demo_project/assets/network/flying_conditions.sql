/* headrace
description: Each observed hour at each airport in one word, and whether it was dark
owner: operations
domain: network
partition: {by: day, column: observed_on}
checks:
  - unique: [origin, observed_at]
  - accepted_values: {column: conditions, values: [low visibility, wet, windy, good]}
*/
select
    w.origin,
    w.observed_on,
    w.observed_at,
    case
        when w.visibility_mi < 3 then 'low visibility'
        when w.precipitation_in > 0 then 'wet'
        when greatest(w.wind_mph, w.gust_mph) >= 25 then 'windy'
        else 'good'
    end as conditions,
    w.observed_at not between d.sunrise and d.sunset as dark
from weather_clean w
join daylight d on d.observed_on = w.observed_on and d.origin = w.origin
