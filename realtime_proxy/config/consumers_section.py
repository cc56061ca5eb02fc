"""Consumers that come and go while the program runs: `[consumers]`."""

import attrs

from realtime_proxy.config.option import option


@attrs.frozen
class Consumers:
    """The store of consumers: `[consumers]`."""

    store: str = option(
        "",
        "SQLite file of the consumers that are kept over the admin port; made if it is not there. "
        "Empty: there are none.",
        restart=True,
    )
