"""The store of consumers, where it is opened: in the only process, or in the supervisor."""

import contextlib
from pathlib import Path

from realtime_proxy.config.consumers_section import Consumers
from realtime_proxy.inputs.consumer_store import ConsumerStore
from realtime_proxy.pipeline.stored_consumers import StoredConsumers


def open_store(
    settings: Consumers, base_dir: Path, book: StoredConsumers, opened: contextlib.ExitStack
) -> ConsumerStore | None:
    """The store, its consumers in `book`; None if there is none. Raises ConfigError."""
    if not settings.store:
        return None
    store = ConsumerStore(base_dir / settings.store, book)
    opened.callback(store.close)
    return store
