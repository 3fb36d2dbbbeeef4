"""The commands of `python -m retrain_service`, one file a group. Words and wiring only."""
