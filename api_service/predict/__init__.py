"""From rows to predictions."""
