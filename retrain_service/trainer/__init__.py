"""What is fitted in one run."""
