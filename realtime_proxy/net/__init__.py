"""Sockets: listeners, the watcher of idle connections, outboxes, TLS, timers, ZeroMQ."""
