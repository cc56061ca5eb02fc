"""The simple gateway's `gateway.conf.yaml` to ours, for `realtime-proxy convert`.

Its secrets stay where they are, in the environment. Nothing is dropped in silence: what is not in
the new file is in a note.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from realtime_proxy.config.addresses import parse_tcp
from realtime_proxy.config.checks import backend_url, page_origin, path_start
from realtime_proxy.config.pushpin import Conversion
from realtime_proxy.config.pushpin_note import Note
from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.config.toml_text import comment, route_text, section, value_text
from realtime_proxy.errors import ConfigError, Problem

OWN_PATHS = ("/isAuth", "/isAlive", "/isReady")
_GROUPS = ("non-authenticated", "authenticated")
_CORS = {
    "allowedOrigins": "allowed_origins",
    "allowedMethods": "allowed_methods",
    "allowedHeaders": "allowed_headers",
    "allowedCredentials": "allow_credentials",
    "maxAge": "max_age_seconds",
}
_REDIS = {"host": "REDIS_HOST", "port": "REDIS_PORT", "password": "REDIS_PASSWORD"}


@attrs.frozen
class Service:
    """A service of the gateway: its name, the prefix that leads to it, and where it is."""

    name: str
    path: str
    target: str
    allowed_groups: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """The target without its path."""
        parts = urlsplit(self.target)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def prefix(self) -> str:
        """What paths begin with at the target."""
        return urlsplit(self.target).path.rstrip("/") + "/"

    def route(self, handlers: tuple[str, ...], origins: tuple[str, ...]) -> Route:
        """The route that leads to it. Only what has something behind the prefix does."""
        return Route(
            targets=(Target(self.origin),),
            path=f"{self.path}/",
            path_replace=self.prefix,
            handlers=handlers,
            websocket_origins=origins,
        )


def convert_gateway(file: Path) -> Conversion:
    """Our configuration for a `gateway.conf.yaml`; `ConfigError` if it can't be used."""
    file = file.absolute()
    reader = _Reader(file.name)
    gateway = reader.table(_load(file), "gateway")
    listen = reader.listen(gateway.pop("listenAddr", ":8080"))
    cors = reader.cors(gateway.pop("cors", None) or {})
    services = reader.table(gateway, "services", "gateway.services")
    open_services, closed_services = (
        tuple(reader.services(services.pop(group, None), f"gateway.services.{group}"))
        for group in _GROUPS
    )
    reader.note_rest(services, "gateway.services")
    reader.note_rest({key: gateway[key] for key in gateway if key != "services"}, "gateway")
    if reader.problems:
        raise ConfigError(reader.problems, str(file))
    if cors and open_services:
        reader.note("gateway.cors", "non-authenticated services have to allow pages themselves")
    if closed_services:
        reader.note("REDIS_PASSWORD", "must be set; take `password` out if Redis has none")
    text = "\n".join(_lines(file, reader.notes, listen, cors, open_services, closed_services))
    return Conversion(f"{text}\n", tuple(reader.notes))


def _load(file: Path) -> Any:
    try:
        import yaml
    except ImportError:
        needed = Problem("", "YAML needs `pip install 'realtime_proxy[yaml]'`")
        raise ConfigError([needed], str(file)) from None
    try:
        return yaml.safe_load(file.read_bytes())
    except OSError as error:
        problem = Problem("", f"can't be read: {error.strerror}")
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        problem = Problem("", f"is no YAML: {' '.join(str(error).split())}")
    raise ConfigError([problem], str(file))


@attrs.define
class _Reader:
    """Takes values out of what YAML has made; keeps all problems and notes."""

    name: str
    problems: list[Problem] = attrs.field(factory=list)
    notes: list[Note] = attrs.field(factory=list)

    def note(self, where: str, message: str) -> None:
        self.notes.append(Note(f"{self.name} {where}", message))

    def note_rest(self, table: dict[Any, Any], where: str) -> None:
        for key in table:
            self.note(f"{where}.{key}", "left out: the gateway does not know it either")

    def table(self, value: Any, key: str, where: str = "") -> dict[Any, Any]:
        """A copy of the table of a key."""
        found = value.get(key) if isinstance(value, dict) else None
        if not isinstance(found, dict):
            self.problems.append(Problem(where or key, "is missing, or no table"))
            return {}
        return dict(found)

    def listen(self, value: Any) -> str:
        address = f"0.0.0.0{value}" if str(value).startswith(":") else str(value)  # noqa: S104
        self._check("gateway.listenAddr", address, parse_tcp)
        return address

    def cors(self, table: Any) -> dict[str, Any]:
        """The settings of `cors`; none if there are no origins, as in the gateway."""
        if not isinstance(table, dict):
            self.problems.append(Problem("gateway.cors", "must be a table"))
            return {}
        self.note_rest({key: None for key in table if key not in _CORS}, "gateway.cors")
        values: dict[str, Any] = {}
        for key in ("allowedOrigins", "allowedMethods", "allowedHeaders"):
            values[_CORS[key]] = self.texts(table.get(key), f"gateway.cors.{key}")
        values["allowed_origins"] = [origin.rstrip("/") for origin in values["allowed_origins"]]
        for i, origin in enumerate(values["allowed_origins"]):
            if origin != "*":
                self._check(f"gateway.cors.allowedOrigins[{i}]", origin, page_origin)
        if str(table.get("allowedCredentials", "")).lower() == "true":
            if "*" in values["allowed_origins"]:
                text = "left out, as browsers refuse it for all origins: name them"
                self.note("gateway.cors.allowedCredentials", text)
            else:
                values["allow_credentials"] = True
        age = str(table.get("maxAge") or "0")
        if age.isascii() and age.isdecimal():
            values["max_age_seconds"] = int(age)
        else:
            self.problems.append(Problem("gateway.cors.maxAge", "must be a number of seconds"))
        if not values["allowed_origins"]:
            return {}
        return {key: value for key, value in values.items() if value}

    def texts(self, value: Any, where: str) -> list[str]:
        """A list of texts; a text with commas is one, too."""
        listed = value.split(",") if isinstance(value, str) else value or []
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            self.problems.append(Problem(where, "must be a list of texts"))
            return []
        return [one.strip() for one in listed if one.strip()]

    def services(self, value: Any, where: str) -> Iterator[Service]:
        """The services of a list, as far as they make sense."""
        if not isinstance(value or [], list):
            self.problems.append(Problem(where, "must be a list"))
            return
        for i, written in enumerate(value or []):
            place = f"{where}[{i}]"
            if not isinstance(written, dict):
                self.problems.append(Problem(place, "must be a table"))
                continue
            entry = dict(written)
            # Its README says `path`, its code reads `route`.
            routes = [str(entry.pop(key)) for key in ("route", "path") if key in entry]
            if len(set(routes)) != 1:
                self.problems.append(Problem(f"{place}.path", "give it once, or as `route`"))
                continue
            path, target = routes[0].rstrip("/"), str(entry.pop("target", ""))
            groups = tuple(self.texts(entry.pop("allowedGroups", None), f"{place}.allowedGroups"))
            name = str(entry.pop("name", path))
            self.note_rest(entry, place)
            service = Service(name, path, target, groups)
            self._check(f"{place}.path", f"{path}/", path_start)
            if self._check(f"{place}.target", service.origin, backend_url):
                self._check(f"{place}.target", service.prefix, path_start)
            yield service

    def _check(self, where: str, value: str, check: Any) -> bool:
        try:
            check(value)
        except (ConfigError, ValueError) as error:
            self.problems.append(Problem(where, str(error)))
            return False
        return True


def _lines(
    file: Path,
    notes: list[Note],
    listen: str,
    cors: dict[str, Any],
    open_services: tuple[Service, ...],
    closed_services: tuple[Service, ...],
) -> Iterator[str]:
    yield from comment(f"Converted from {file}. Documentation: docs/handlers/cookie_jwt.md")
    if notes:
        yield from ("#", "# What is different, and what needs a look:")
    for note in notes:
        yield from comment(f"- {note}", indent="  ")
    yield from section("server", {"listen": (listen,), "workers": 1})
    handlers = {groups: f"gateway_{i}" for i, groups in enumerate(_groups(closed_services))}
    for groups, name in handlers.items():
        yield from _cookie_jwt(name, groups, cors)
    if closed_services:
        yield from _user_delete(closed_services)
    for service in open_services:
        yield from ("", *comment(service.name), *route_text(service.route((), ())))
    if closed_services:
        yield from _closed_routes(closed_services, handlers, cors.get("allowed_origins", ()))


def _closed_routes(
    services: tuple[Service, ...], handlers: dict[tuple[str, ...], str], pages: Sequence[str]
) -> Iterator[str]:
    """The routes of those who must have a cookie, and what the handler itself answers."""
    origins = () if "*" in pages else tuple(pages)
    further: tuple[str, ...] = ("user_delete",)  # one route has to have it
    for service in services:
        route = service.route((handlers[service.allowed_groups], *further), origins)
        yield from ("", *comment(service.name), *route_text(route))
        further = ()
    name = handlers.get((), next(iter(handlers.values())))
    for path in OWN_PATHS:
        yield from ("", "# Answered by the handler.")
        targets = (Target(services[0].origin),)
        yield from route_text(Route(targets, path=path, handlers=(name,)))


def _groups(services: tuple[Service, ...]) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(service.allowed_groups for service in services))


def _cookie_jwt(name: str, groups: tuple[str, ...], cors: dict[str, Any]) -> Iterator[str]:
    yield from ("", f"[handler.{name}]", 'use = "cookie_jwt"', 'secret = "env:JWT_SECRET_KEY"')
    yield 'profile = "classic"'
    if groups:
        yield f"allowed_groups = {value_text(groups)}"
    yield from _redis(name)
    if cors:
        yield from ("", f"[handler.{name}.cors]")
        yield from (f"{key} = {value_text(value)}" for key, value in cors.items())


def _user_delete(services: tuple[Service, ...]) -> Iterator[str]:
    urls = [f"{service.origin}{service.prefix}user-delete" for service in services]
    yield from ("", "[handler.user_delete]", f"urls = {value_text(urls)}", *_redis("user_delete"))


def _redis(name: str) -> Iterator[str]:
    yield from ("", f"[handler.{name}.redis]")
    yield from (f'{key} = "env:{variable}"' for key, variable in _REDIS.items())
