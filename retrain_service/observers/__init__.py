"""Tell others what happened: notifications, exporters, metrics."""
