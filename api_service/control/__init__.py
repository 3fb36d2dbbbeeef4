"""Control requests: the files by which the API asks the retrain daemon to do something."""
