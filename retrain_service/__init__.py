"""Data in, versions out. Never imports flask, never imports api_service."""
