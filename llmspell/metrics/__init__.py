"""Figures of what runtimes did, as Prometheus reads them."""
