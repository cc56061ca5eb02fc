"""Whether new clients are welcome, as load balancers ask."""

from enum import Enum


class Readiness(Enum):
    """How far an instance is. The value says it to people."""

    STARTING = "it is starting"
    READY = "clients are served"
    DRAINING = "it is stopping, and takes no new clients"
