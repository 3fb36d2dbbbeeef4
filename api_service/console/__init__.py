"""The web console: HTML pages over what the API already knows. Imported at the first page."""
