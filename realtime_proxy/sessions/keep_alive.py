"""When to say something so that nobody between us and the client hangs up."""

import random

# Keep-alives of many holds must not come in one burst (grip.md G-4.4.4).
_JITTER_SECONDS = 0.999


def first_delay(timeout_seconds: float) -> float:
    """Seconds until a keep-alive is due, a little early by a random part of a second."""
    return max(0.0, timeout_seconds - random.random() * _JITTER_SECONDS)  # noqa: S311


def idle_delay(timeout_seconds: float, silent_seconds: float) -> float:
    """How long an idle keep-alive still has to wait; 0 if it is due now."""
    left = timeout_seconds - _JITTER_SECONDS - silent_seconds
    return first_delay(timeout_seconds - silent_seconds) if left > 0 else 0.0
