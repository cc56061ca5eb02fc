"""The store of consumers, where it is opened: in the only process, or in the supervisor."""

import contextlib
from pathlib import Path

from realtime_proxy.backend.redis_connection import KeptRedisConnection
from realtime_proxy.config.consumers_section import Consumers
from realtime_proxy.config.secrets import resolve_secret
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.inputs.consumer_store import ConsumerStore
from realtime_proxy.inputs.redis_consumers import RedisConsumers
from realtime_proxy.inputs.sqlite_consumers import SqliteConsumers
from realtime_proxy.pipeline.redis_connection import RedisSettings
from realtime_proxy.pipeline.stored_consumers import StoredConsumers

_KEY_PATH = "consumers.store"
_ELSEWHERE = ("env:", "file:")


def open_store(
    settings: Consumers, base_dir: Path, book: StoredConsumers, opened: contextlib.ExitStack
) -> ConsumerStore | None:
    """The store, its consumers in `book`; None if there is none. Raises ConfigError."""
    if not settings.store:
        return None
    store = _store(_where(settings.store, base_dir), base_dir, book)
    opened.callback(store.close)
    return store


def check_store(settings: Consumers, base_dir: Path) -> None:
    """Raise ConfigError if the store could not be opened. No file is made, and nobody asked."""
    if not settings.store:
        return
    where = _where(settings.store, base_dir)
    if "://" in where:
        _redis(where)
    elif (base_dir / where).is_dir():
        raise ConfigError([Problem(_KEY_PATH, f"{base_dir / where} is a folder")])
    elif not (folder := (base_dir / where).parent).is_dir():
        raise ConfigError([Problem(_KEY_PATH, f"there is no folder {folder}")])


def _where(written: str, base_dir: Path) -> str:
    if not written.startswith(_ELSEWHERE):
        return written
    try:
        return resolve_secret(written, base_dir).decode(errors="replace")
    except ConfigError as error:
        raise _at_key(error) from error


def _store(where: str, base_dir: Path, book: StoredConsumers) -> ConsumerStore:
    if "://" not in where:
        return SqliteConsumers(base_dir / where, book)
    redis = _redis(where)
    return RedisConsumers(KeptRedisConnection(redis), redis.db, book)


def _redis(url: str) -> RedisSettings:
    try:
        redis = RedisSettings.of_url(url)
        redis.check()
    except ConfigError as error:
        raise _at_key(error) from error
    return redis


def _at_key(error: ConfigError) -> ConfigError:
    return ConfigError([Problem(_KEY_PATH, problem.message) for problem in error.problems])
