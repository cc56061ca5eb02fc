"""As many file descriptors as the configured connections need."""

import resource

import structlog

# For listeners, logs, ZeroMQ, and connections to backends.
_SPARE = 1_000

log = structlog.get_logger()


def raise_descriptor_limit(max_connections: int) -> None:
    """Raise RLIMIT_NOFILE to fit the connections, or say what is missing."""
    wanted = max_connections + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        log.warning(
            "descriptor limit is too low for max_connections",
            max_connections=max_connections,
            descriptors=allowed,
            needed=wanted,
        )
