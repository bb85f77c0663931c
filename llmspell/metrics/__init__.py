"""Metrics of runtimes, in Prometheus text format."""
