"""What the API asks of the retrain daemon."""
