/* headrace
description: The register of planes with one spelling per manufacturer
owner: flight-data
domain: network
checks:
  - unique: [tailnum]
  - not_null: [tailnum, manufacturer, model, seats]
  - not_null: {columns: [built], name: year_is_known, severity: warning}
*/
select
    tailnum,
    year as built,
    case when manufacturer like 'AIRBUS%' then 'AIRBUS' when manufacturer like 'MCDONNELL%' then 'MCDONNELL DOUGLAS' else manufacturer end
        as manufacturer,
    model,
    engines,
    seats
from planes
