"""From a reload signal to a warm version in the slot."""
