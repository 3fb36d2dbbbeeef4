"""A sample of what was asked and answered: the API writes it, the training daemon reads it."""
