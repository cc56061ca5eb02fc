"""Consumers that come and go while the program runs: `[consumers]`."""

import attrs

from realtime_proxy.config.option import option


@attrs.frozen
class Consumers:
    """The store of consumers: `[consumers]`."""

    store: str = option(
        "",
        "Where consumers are kept that come over the admin port: an SQLite file, made if it is not "
        "there, or `redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]`, which several instances share; "
        "`env:NAME` or `file:PATH` says where that is written. Empty: there are none.",
        restart=True,
    )
