"""`demo`: a project of real flights, its days of deliveries, and a fault in one of them."""
