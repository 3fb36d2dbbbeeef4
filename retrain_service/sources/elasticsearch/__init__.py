"""Read an Elasticsearch index."""
