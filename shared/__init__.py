"""What both daemons must agree on. Knows neither of them."""
