"""Which hosts to connect to for a name that a user gives."""

_LOOPBACK = ("127.0.0.1", "::1")


def hosts_to_try(host: str) -> tuple[str, ...]:
    """The host itself, or both loopback addresses for `localhost`.

    A resolver often knows only one of them, and the server listens on just the other.
    """
    return _LOOPBACK if host.lower() == "localhost" else (host,)
