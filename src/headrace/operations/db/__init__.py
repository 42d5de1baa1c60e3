"""`db`: what is done to a state as a whole: brought up to date, checked, backed up, restored, freed of what nothing needs."""
