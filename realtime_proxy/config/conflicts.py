"""What is wrong between keys of the configuration, or between the file and its surroundings.

Works on the tables as they were read, not on the finished classes, so that a mistake of one kind
does not hide those of the other. Values of a wrong type are passed over: they are reported
already.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from realtime_proxy.config.addresses import (
    Address,
    TcpAddress,
    is_loopback,
    parse_endpoint,
    parse_listener,
)
from realtime_proxy.config.schema import Publish
from realtime_proxy.config.secrets import resolve_secret
from realtime_proxy.config.server_section import Server
from realtime_proxy.config.structure import join_key
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.model.channel_template import claims_of

Table = Mapping[str, Any]

_TARGET_KINDS = ("url", "zhttpreq", "demo", "test", "decisions")
# What makes no sense where gateways are answered: they could take an answer for a yes.
_NOT_WITH_DECISIONS = ("handlers", "cross_origin", "sockjs")


def find_conflicts(file: Table, base_dir: Path) -> Iterator[Problem]:
    """Everything wrong that no single value shows; relative paths are taken from `base_dir`."""
    yield from _listener_problems(file)
    yield from _proxy_protocol_problems(file)
    yield from _certificate_problems(_table(file, "server"), base_dir)
    yield from _zhttpreq_problems(file)
    yield from _publish_problems(_table(file, "publish"), base_dir)
    yield from _watched_problems(file)
    yield from _admin_problems(_table(file, "admin"), base_dir)
    grip = _table(file, "grip")
    for key in ("key", "upstream_key"):
        yield from _secret_problems(grip, f"grip.{key}", base_dir)
    routes = list(_tables(file, "route", ""))
    for path, route in routes:
        yield from _route_problems(route, path, base_dir)
        yield from _decision_problems(route, path, file)
    yield from _repeated_conditions(routes)


def _listener_problems(file: Table) -> Iterator[Problem]:
    server = _table(file, "server")
    plain = server.get("listen", Server().listen)
    if plain == [] and not server.get("tls"):
        yield Problem("server.listen", "no address to listen on, here or in `server.tls`")
    used: dict[Address, str] = {}
    for path, address in _addresses(file):
        if isinstance(address, TcpAddress) and address.port == 0:
            continue
        if address in used:
            yield Problem(path, f"{address} is in use already, by {used[address]}")
        used.setdefault(address, path)


def _proxy_protocol_problems(file: Table) -> Iterator[Problem]:
    """A PROXY header is taken from known proxies alone: there have to be some."""
    if _table(file, "forwarded").get("trusted_proxies"):
        return
    server = _table(file, "server")
    asking = [
        f"server.listen[{i}]"
        for i, text in enumerate(_list(server.get("listen")))
        if _is_proxied(text)
    ]
    asking += [
        f"{path}.proxy_protocol"
        for path, tls in _tables(server, "tls", "server.")
        if tls.get("proxy_protocol") is True
    ]
    for path in asking:
        yield Problem(
            path,
            "nobody could connect: a PROXY header is taken from `[forwarded] trusted_proxies` "
            "alone, and there are none",
        )


def _is_proxied(text: Any) -> bool:
    try:
        return _is_text(text) and parse_listener(text).proxy_protocol
    except ConfigError:
        return False


def _addresses(file: Table) -> Iterator[tuple[str, Address]]:
    """All addresses that are bound, with the paths of their keys."""
    server, publish = _table(file, "server"), _table(file, "publish")
    listen = server.get("listen", Server().listen)
    texts = [(f"server.listen[{i}]", text) for i, text in enumerate(_list(listen))]
    texts += [
        (f"{path}.listen", tls.get("listen")) for path, tls in _tables(server, "tls", "server.")
    ]
    ports = (*_publish_addresses(publish), *_inside_addresses(file), *_zhttpreq_addresses(file))
    for path, text in (*texts, *ports):
        if (address := _parsed(text)) is not None:
            yield path, address


def _publish_addresses(publish: Table) -> Iterator[tuple[str, Any]]:
    """The texts of all addresses where publishers are waited for, with the paths of their keys."""
    defaults = Publish()
    yield "publish.http", publish.get("http", defaults.http)
    yield "publish.pull", publish.get("pull", defaults.pull)
    yield "publish.command", publish.get("command", defaults.command)
    if publish.get("sub_connect") is not True:
        for index, text in enumerate(_list(publish.get("sub", defaults.sub))):
            yield f"publish.sub[{index}]", text


def _zhttpreq_addresses(file: Table) -> Iterator[tuple[str, Any]]:
    """The addresses where handlers are waited for; targets may share one."""
    seen: set[str] = set()
    for route_path, route in _tables(file, "route", ""):
        for path, target in _tables(route, "targets", f"{route_path}."):
            text = _text(target, "zhttpreq")
            if text and text not in seen and target.get("zhttpreq_connect") is not True:
                seen.add(text)
                yield f"{path}.zhttpreq", text


def _zhttpreq_problems(file: Table) -> Iterator[Problem]:
    server = _table(file, "server")
    if server.get("workers", 1) == 1 and not server.get("takeover_socket"):
        return
    for path, _ in _zhttpreq_addresses(file):
        yield Problem(
            path,
            "one process can wait there, not several: `[server] workers = 1` and no "
            "`takeover_socket`, or have handlers wait and set `zhttpreq_connect = true`",
        )


def _watched_addresses(file: Table) -> Iterator[tuple[str, Any]]:
    """The texts of all addresses where those are told who watch, with the paths of their keys."""
    yield "stats.pub", _table(file, "stats").get("pub", "")
    yield "metrics.listen", _table(file, "metrics").get("listen", "")


def _inside_addresses(file: Table) -> Iterator[tuple[str, Any]]:
    """The texts of all addresses for those who run the proxy, with the paths of their keys."""
    yield from _watched_addresses(file)
    yield "admin.listen", _table(file, "admin").get("listen", "")


def _parsed(text: Any) -> Address | None:
    if not isinstance(text, str):
        return None
    try:
        return parse_endpoint(text) if "://" in text else parse_listener(text).address
    except ConfigError:
        return None


def _certificate_problems(server: Table, base_dir: Path) -> Iterator[Problem]:
    for path, tls in _tables(server, "tls", "server."):
        for key in ("certificate", "key", "client_ca"):
            yield from _file_problems(tls, path, key, base_dir)
        if tls.get("client_certificate") and not tls.get("client_ca"):
            message = "is missing; without it clients are not asked for certificates"
            yield Problem(f"{path}.client_ca", message)
        folder = _text(tls, "certificates")
        if folder and not (base_dir / folder).is_dir():
            yield Problem(f"{path}.certificates", f"there is no folder {base_dir / folder}")


def _publish_problems(publish: Table, base_dir: Path) -> Iterator[Problem]:
    for key in ("key", "curve_key"):
        yield from _secret_problems(publish, f"publish.{key}", base_dir)
    yield from _curve_problems(publish)
    if publish.get("allow_unauthenticated") is True:
        return
    for path, text in _publish_addresses(publish):
        address = _parsed(text)
        key = "key" if path == "publish.http" else "curve_key"
        if address is not None and not is_loopback(address) and not publish.get(key):
            yield Problem(
                path,
                f"{address} can be reached from other machines, and publishing asks for no key; "
                f"use a loopback address, or a `{key}`, or set `allow_unauthenticated = true`",
            )


def _curve_problems(publish: Table) -> Iterator[Problem]:
    if not publish.get("curve_key"):
        for key in ("curve_clients", "curve_server"):
            if publish.get(key):
                yield Problem(f"publish.{key}", "needs a `curve_key`")
        return
    addresses = _publish_addresses(publish)
    if not publish.get("curve_clients") and any(
        text for path, text in addresses if "http" not in path
    ):
        yield Problem("publish.curve_clients", "is empty, so nobody could connect")
    if publish.get("sub_connect") is True and not publish.get("curve_server"):
        yield Problem(
            "publish.curve_server", "is missing; publishers are connected to by their key"
        )


def _watched_problems(file: Table) -> Iterator[Problem]:
    for path, text in _watched_addresses(file):
        address = _parsed(text)
        is_open = _table(file, path.partition(".")[0]).get("allow_unauthenticated") is True
        if address is not None and not is_open and not is_loopback(address):
            yield Problem(
                path,
                f"{address} can be reached from other machines, which would be told of clients "
                "and channels; use a loopback address, or set `allow_unauthenticated = true`",
            )


def _admin_problems(admin: Table, base_dir: Path) -> Iterator[Problem]:
    yield from _secret_problems(admin, "admin.key", base_dir)
    address = _parsed(admin.get("listen"))
    if address is not None and not is_loopback(address) and not admin.get("key"):
        yield Problem(
            "admin.listen",
            f"{address} can be reached from other machines, which could close every connection; "
            "use a loopback address, or a `key`",
        )


def _route_problems(route: Table, path: str, base_dir: Path) -> Iterator[Problem]:
    if route.get("targets") == []:
        yield Problem(f"{path}.targets", "is empty; a route needs at least one target")
    for target_path, target in _tables(route, "targets", f"{path}."):
        kinds = [f"`{kind}`" for kind in _TARGET_KINDS if target.get(kind)]
        if len(kinds) > 1:
            yield Problem(target_path, f"has {' and '.join(kinds)}; only one is possible")
        if not kinds:
            message = (
                "needs a `url`, or `zhttpreq`, or `demo = true`, `test = true`, `decisions = true`"
            )
            yield Problem(target_path, message)
        yield from _backend_tls_problems(target, target_path, base_dir)
    if route.get("host") == "" and not route.get("id"):
        yield Problem(f"{path}.id", "is missing; without a `host` only its id leads to a route")
    if route.get("path_remove") and route.get("path_replace") is not None:
        yield Problem(f"{path}.path_remove", "excludes `path_replace`; only one is possible")
    yield from _scope_problems(route, path)
    yield from _sockjs_problems(route, path)
    yield from _header_problems(route, path)
    yield from _secret_problems(route, f"{path}.key", base_dir)


def _decision_problems(route: Table, path: str, file: Table) -> Iterator[Problem]:
    deciding = [
        target_path
        for target_path, target in _tables(route, "targets", f"{path}.")
        if target.get("decisions") is True
    ]
    if not deciding:
        return
    key_path = f"{deciding[0]}.decisions"
    if len(_list(route.get("targets"))) > 1:
        yield Problem(key_path, "excludes other targets")
    for key in _NOT_WITH_DECISIONS:
        if route.get(key):
            yield Problem(f"{path}.{key}", "has no place where gateways ask for decisions")
    trusted = _table(file, "forwarded").get("trusted_proxies")
    if not trusted and not _text(_table(file, "grip"), "upstream_key"):
        yield Problem(key_path, "nobody could ask: `[forwarded] trusted_proxies` is empty")


def _scope_problems(route: Table, path: str) -> Iterator[Problem]:
    claim = _text(route, "delivery_scope_claim")
    if claim and not route.get("handlers"):
        message = "nobody could be held: no handler of the route says who has which claims"
        yield Problem(f"{path}.delivery_scope_claim", message)
    for target_path, target in _tables(route, "targets", f"{path}."):
        for index, name in enumerate(_list(target.get("subscribe"))):
            others = claims_of(name if _is_text(name) else "") - {claim}
            if others:
                yield Problem(
                    f"{target_path}.subscribe[{index}]",
                    f"names the claim `{min(others)}`; only that of `delivery_scope_claim` is "
                    "filled in",
                )


def _sockjs_problems(route: Table, path: str) -> Iterator[Problem]:
    sockjs, begins_with = _text(route, "sockjs"), _text(route, "path")
    if sockjs and not sockjs.startswith(begins_with.rstrip("/")):
        yield Problem(f"{path}.sockjs", f"is not below the `path` of the route, `{begins_with}`")
    if route.get("sockjs_as_path") and not sockjs:
        yield Problem(f"{path}.sockjs_as_path", "needs `sockjs`")


def _backend_tls_problems(target: Table, path: str, base_dir: Path) -> Iterator[Problem]:
    for key in ("ca", "client_certificate", "client_key"):
        yield from _file_problems(target, path, key, base_dir)
    if target.get("insecure") is True and _text(target, "ca"):
        yield Problem(f"{path}.insecure", "excludes `ca`: no certificate is checked then")
    if target.get("trust_connect_host") is False and _text(target, "server_name"):
        message = "excludes `server_name`: both say what the certificate is checked for"
        yield Problem(f"{path}.trust_connect_host", message)
    if _text(target, "client_key") and not _text(target, "client_certificate"):
        yield Problem(f"{path}.client_certificate", "is missing; `client_key` is the key of one")


def _file_problems(table: Table, path: str, key: str, base_dir: Path) -> Iterator[Problem]:
    name = _text(table, key)
    if name and not (base_dir / name).is_file():
        yield Problem(f"{path}.{key}", f"there is no file {base_dir / name}")


def _header_problems(route: Table, path: str) -> Iterator[Problem]:
    """Fields that are set twice, or set and removed: names are compared without regard to case."""
    removed = {name.lower() for name in _list(route.get("remove_headers")) if _is_text(name)}
    seen: set[str] = set()
    for name in _table(route, "set_headers"):
        key_path = join_key(f"{path}.set_headers", name)
        if name.lower() in seen:
            yield Problem(key_path, "is set twice; several values go into one, with commas")
        if name.lower() in removed:
            yield Problem(key_path, "is in `remove_headers` too; setting replaces what came")
        seen.add(name.lower())


def _secret_problems(table: Table, path: str, base_dir: Path) -> Iterator[Problem]:
    try:
        resolve_secret(_text(table, path.rpartition(".")[2]), base_dir)
    except ConfigError as error:
        for problem in error.problems:
            yield Problem(path, problem.message)


def _repeated_conditions(routes: list[tuple[str, Table]]) -> Iterator[Problem]:
    seen: dict[tuple[str, str, str, str], str] = {}
    for path, route in routes:
        if route.get("host") == "":  # found by its id alone
            continue
        host = (_text(route, "host") or "*").lower().strip("[]")
        condition = (host, _text(route, "path"), _text(route, "protocol"), str(route.get("tls")))
        if condition in seen:
            yield Problem(
                path,
                f"has the same `host`, `path`, `protocol` and `tls` as {seen[condition]}, "
                "so it would never be used",
            )
        seen.setdefault(condition, path)


def _table(table: Table, key: str) -> Table:
    value = table.get(key)
    return value if isinstance(value, dict) else {}


def _tables(table: Table, key: str, prefix: str) -> Iterator[tuple[str, Table]]:
    for index, element in enumerate(_list(table.get(key))):
        if isinstance(element, dict):
            yield f"{prefix}{key}[{index}]", element


def _list(value: Any) -> list[Any] | tuple[Any, ...]:
    return value if isinstance(value, list | tuple) else ()


def _text(table: Table, key: str) -> str:
    value = table.get(key)
    return value if _is_text(value) else ""


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str)
