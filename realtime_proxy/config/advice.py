"""What a configuration may say but hardly means, and what makes it weak: warnings, no refusals."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from realtime_proxy.config.addresses import is_loopback, is_private, parse_endpoint
from realtime_proxy.config.route_section import Target
from realtime_proxy.config.schema import Config
from realtime_proxy.config.secrets import is_pem, resolve_secret
from realtime_proxy.errors import Problem

# RFC 7518 3.2: a key for HS256 has at least as many bits as the hash.
MIN_HMAC_KEY_BYTES = 32


def advise(config: Config, base_dir: Path) -> Iterator[Problem]:
    """Warnings about a configuration that loads."""
    yield from _short_keys(config, base_dir)
    yield from _open_backends(config)
    yield from _unreachable_consumers(config)
    if not config.route:
        yield Problem("route", "there are no routes, so every request is answered 502")
    for index, route in enumerate(config.route):
        if route.path and not _can_be_path(route.path):
            yield Problem(
                f"route[{index}].path",
                f"`{route.path}` never begins a path: those begin with `/`, and are compared as "
                "clients send them, without the query (a blank is `%20`)",
            )
        for number, target in enumerate(route.targets):
            yield from _target_advice(target, f"route[{index}].targets[{number}]")
    yield from _unreachable_ids(config)


def _target_advice(target: Target, path: str) -> Iterator[Problem]:
    if not target.url.startswith("https:"):
        for key in ("ca", "server_name", "client_certificate"):
            if getattr(target, key):
                yield Problem(f"{path}.{key}", "is for `https` backends only")
    elif target.insecure:
        yield Problem(
            f"{path}.insecure",
            "whoever is on the way can be this backend: its certificate is not checked; "
            "set `ca`, or `server_name`",
        )
    if target.untrusted and is_private(urlsplit(target.url).hostname or ""):
        yield Problem(f"{path}.untrusted", "keeps every request from this url: it is private")


def _unreachable_ids(config: Config) -> Iterator[Problem]:
    """Routes that `Pushpin-Route` is to lead to, and can't."""
    by_header = config.forwarded.accept_pushpin_route
    seen: dict[str, int] = {}
    for index, route in enumerate(config.route):
        if not route.host and not by_header:
            yield Problem(
                f"route[{index}].host",
                "is empty, and `forwarded.accept_pushpin_route` is off: no request comes here",
            )
        first = seen.setdefault(route.id, index)
        if route.id and first != index and by_header:
            yield Problem(
                f"route[{index}].id",
                f"is that of route[{first}] too, so `Pushpin-Route` can't choose one of them",
            )


def _open_backends(config: Config) -> Iterator[Problem]:
    for i, route in enumerate(config.route):
        for j, target in enumerate(route.targets):
            waits = target.zhttpreq and not target.zhttpreq_connect
            if waits and not is_loopback(parse_endpoint(target.zhttpreq)):
                yield Problem(
                    f"route[{i}].targets[{j}].zhttpreq",
                    f"whoever reaches {target.zhttpreq} gets requests, and answers them",
                )


def _unreachable_consumers(config: Config) -> Iterator[Problem]:
    """Handlers that wait for consumers of a store, and a store that waits for them."""
    store = config.consumers.store
    for name, values in config.handler.items():
        if values.get("stored") is True and not store:
            yield Problem(
                f"handler.{name}.stored", "nobody is found: there is no `store` in `[consumers]`"
            )
    is_shared = store.startswith(("redis:", "rediss:", "env:", "file:"))
    if store and not is_shared and not config.admin.listen:
        yield Problem(
            "consumers.store",
            "nobody can be put in there: there is no `listen` in `[admin]`, where calls would come",
        )


def _short_keys(config: Config, base_dir: Path) -> Iterator[Problem]:
    """One warning for all keys: the advice is the same for each."""
    keys = {"grip.key": config.grip.key, "grip.upstream_key": config.grip.upstream_key}
    keys |= {"publish.key": config.publish.key, "admin.key": config.admin.key}
    keys |= {f"route[{i}].key": route.key for i, route in enumerate(config.route)}
    secrets = {path: resolve_secret(key, base_dir) for path, key in keys.items() if key}
    short = [
        path
        for path, secret in secrets.items()
        if not is_pem(secret) and len(secret) < MIN_HMAC_KEY_BYTES
    ]
    if short:
        yield Problem(
            ", ".join(short),
            f"shorter than {MIN_HMAC_KEY_BYTES} bytes, which makes tokens easier to forge",
        )


def _can_be_path(text: str) -> bool:
    printable = text.isascii() and text.isprintable()
    return printable and text.startswith("/") and not set(text) & set(" ?#")
