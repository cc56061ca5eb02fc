"""Calling backends: a pool of connections, failover, time limits."""
