"""What each page of docs/reference/ is made of."""
