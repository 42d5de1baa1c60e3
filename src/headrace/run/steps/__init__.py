"""What an attempt is made of, one file a step: take_in and produce run in a worker, publish in the leader."""
