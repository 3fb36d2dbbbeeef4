"""A Prometheus server as a source: samples of servers by range queries."""
