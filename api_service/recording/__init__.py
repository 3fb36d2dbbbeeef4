"""What the API writes down."""
