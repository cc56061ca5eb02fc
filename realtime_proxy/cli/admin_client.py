"""How commands ask the admin port of a running instance, found by its configuration."""

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import attrs
import click

from realtime_proxy.config.addresses import Address, TcpAddress, UnixAddress, parse_address
from realtime_proxy.errors import ConfigError, RealtimeProxyError

Command = TypeVar("Command", bound=Callable[..., Any])

TIMEOUT_SECONDS = 35.0  # ending many connections may take as long
_PAGE = 1_000
_TOKEN_SECONDS = 60
# Where to connect to those who listen everywhere.
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  not bound


class AdminError(RealtimeProxyError):
    """The admin port can't be asked, or refuses; the text says why."""


@attrs.frozen
class AdminClient:
    """One instance. Each request has a connection of its own: it may have been restarted."""

    address: Address
    token: str = ""

    def connections(
        self, filters: Mapping[str, str], limit: int | None = None
    ) -> tuple[list[dict[str, Any]], bool]:
        """The connections meant, at most `limit`, and whether there are more. Raises AdminError."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            wanted = _PAGE if limit is None else min(_PAGE, limit - len(found))
            query = urlencode({**filters, "limit": wanted, **({"after": after} if after else {})})
            page = self.ask("GET", f"/connections?{query}")
            found += page["connections"]
            after = page["next"]
            if after is None or (limit is not None and len(found) >= limit):
                return found, after is not None

    def close(self, connection_id: str | None, parameters: Mapping[str, str]) -> int:
        """End the connections meant; how many there were. Raises AdminError."""
        path = "/connections" if connection_id is None else f"/connections/{quote(connection_id)}"
        query = urlencode(parameters)
        return int(self.ask("DELETE", f"{path}?{query}" if query else path)["closed"])

    def ask(self, method: str, target: str) -> Any:
        """What the port answers. Raises AdminError, also for its refusals."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        connection = _Connection(self.address)
        try:
            connection.request(method, target, headers=headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, HTTPException) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise AdminError(f"no answer from the admin port at {self.address}: {why}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise AdminError(_refusal(response.status, body))
        return json.loads(body)


class _Connection(HTTPConnection):
    """HTTP to an address of either kind."""

    def __init__(self, address: Address) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._address = address

    def connect(self) -> None:
        if isinstance(self._address, UnixAddress):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(TIMEOUT_SECONDS)
            self.sock.connect(self._address.path)
        else:
            host = _HERE.get(self._address.host, self._address.host)
            self.sock = socket.create_connection((host, self._address.port), TIMEOUT_SECONDS)


def _refusal(status: int, body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        text = body.decode(errors="replace").strip()
        return f"the admin port answered with status {status}: {text}"


def client_of(
    config: Path, admin: str | None, number: int | None, bearer: str | None
) -> AdminClient:
    """The client for what the command line says. Raises AdminError, or ConfigError for the file."""
    if admin is not None:
        try:
            return AdminClient(parse_address(admin), bearer or "")
        except ConfigError as error:
            raise AdminError(f"--admin: {error}") from error
    from realtime_proxy.cli.instance import as_instance
    from realtime_proxy.config.load import load_config

    settings = load_config(config)
    if number is not None:
        settings = as_instance(settings, number)
    if not settings.admin.listen:
        raise AdminError(
            f"{config} has no admin port to ask; with these lines it has one:\n\n"
            '[admin]\nlisten = "127.0.0.1:5564"'
        )
    address = parse_address(settings.admin.listen)
    if isinstance(address, TcpAddress) and not address.port:
        raise AdminError("[admin] listen takes any free port; --admin ADDRESS says which it is")
    if isinstance(address, UnixAddress):  # it is relative to where the proxy runs
        address = UnixAddress(address.path)
    return AdminClient(address, bearer or _token(settings.admin.key, config.parent))


def _token(key: str, base_dir: Path) -> str:
    """A token signed with the key of the configuration; empty if there is none."""
    if not key:
        return ""
    from realtime_proxy.cli.grip_url import signed_token
    from realtime_proxy.config.secrets import is_pem, resolve_secret

    secret = resolve_secret(key, base_dir)
    if is_pem(secret):
        raise AdminError(
            "[admin] key is a public key: --bearer TOKEN has to be signed with the private one"
        )
    expiry = int(time.time()) + _TOKEN_SECONDS
    return signed_token({"iss": "realtime-proxy", "exp": expiry}, secret)


def asks_admin_port(command: Command) -> Command:
    """Options that say which instance to ask, and which connections are meant."""
    for option in reversed(tuple(_options())):
        command = option(command)
    return command


def _options() -> Iterator[Callable[[Command], Command]]:
    yield click.option(
        "--config",
        default="routes.toml",
        show_default=True,
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The configuration of the instance; its [admin] listen is asked.",
    )
    yield click.option(
        "--id",
        "number",
        metavar="N",
        type=click.IntRange(min=0),
        help="As with run: which of several.",
    )
    yield click.option(
        "--admin", metavar="ADDRESS", help="Ask there: HOST:PORT or unix:PATH. No file is read."
    )
    yield click.option("--bearer", metavar="TOKEN", help="A key or token for the admin port.")
    for name in ("route", "channel", "consumer", "kind"):
        yield click.option(f"--{name}", metavar=name.upper(), help=f"Only those of this {name}.")


def given(**filters: str | None) -> dict[str, str]:
    """The filters that the command line gives."""
    return {name: value for name, value in filters.items() if value is not None}
