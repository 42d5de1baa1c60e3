-- Where a look was made, as the project declared it then: a look elsewhere says nothing of what is found here later.

alter table look add column place text not null default '';           -- as `model.connectors.place_of` has it; empty: not known
