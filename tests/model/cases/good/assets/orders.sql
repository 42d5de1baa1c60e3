/* headrace
owner: core
partition: day
checks:
  - unique: [a]
  - range: {column: b, min: 1}
inputs: {x: {lookback: 7d}}
*/
select 1
