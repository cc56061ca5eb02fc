"""The command socket: what the outside asks of a running instance, and the replies."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import trio

from realtime_proxy.config.schema import Publish
from realtime_proxy.errors import CommandError, PublishError
from realtime_proxy.grip.command import (
    BAD_REQUEST,
    Arguments,
    Command,
    failure_reply,
    parse_command,
    success_reply,
)
from realtime_proxy.grip.publish import items_from_tnetstring
from realtime_proxy.inputs.publishing import Publishing
from realtime_proxy.net.zmq_socket import RouterSocket

# Commands that workers are asked about; more are left in the socket until some of these are done.
MAX_UNDER_WAY = 100
_REPLY_SECONDS = 0.1

Act = Callable[[Arguments], Awaitable[Any]]

log = structlog.get_logger()


class ZmqCommands:
    """Carries out the commands of a ROUTER socket, for REQ sockets and DEALERs alike.

    Each gets a reply. What changes something is done in the order in which it comes; what has to be
    asked of workers lets others pass.
    """

    def __init__(self, socket: RouterSocket, settings: Publish, publishing: Publishing) -> None:
        self._socket = socket
        self._settings = settings
        self._publishing = publishing
        self._places = trio.Semaphore(MAX_UNDER_WAY)
        self._running = trio.CancelScope()
        self._in_order: dict[str, Act] = {
            "publish": self._publish,
            "recover": self._recover,
            "get-zmq-uris": self._uris,
        }
        self._passing: dict[str, Act] = {
            "refresh": self._refresh,
            "conncheck": self._check_connections,
        }

    async def run(self) -> None:
        """Take commands until cancelled, or until they go elsewhere."""
        with self._socket, self._running:
            async with trio.open_nursery() as nursery:
                while True:
                    for message in await self._socket.receive():
                        await self._take(nursery, *_opened(message))

    async def send_away(self) -> None:
        """Have commands go to whoever listens with the same socket, once replies are on their way.

        Our side of a connection can't end first, as for items: replies go over it.
        """
        await trio.sleep(_REPLY_SECONDS)
        self._running.cancel()

    async def _take(self, nursery: trio.Nursery, envelope: list[bytes], parts: list[bytes]) -> None:
        try:
            command = parse_command(parts)
            log.debug("command", method=command.method)
            if (act := self._in_order.get(command.method)) is not None:
                await self._carry_out(act, command, envelope)
            elif (act := self._passing.get(command.method)) is not None:
                await self._places.acquire()
                nursery.start_soon(self._pass, act, command, envelope)
            else:
                raise CommandError("method-not-found", command_id=command.id)
        except CommandError as error:
            log.warning("command refused", problem=str(error))
            self._socket.send([*envelope, failure_reply(error)])

    async def _pass(self, act: Act, command: Command, envelope: list[bytes]) -> None:
        try:
            await self._carry_out(act, command, envelope)
        finally:
            self._places.release()

    async def _carry_out(self, act: Act, command: Command, envelope: list[bytes]) -> None:
        try:
            reply = success_reply(command, await act(command.arguments))
        except CommandError as error:
            error.command_id = command.id
            reply = failure_reply(error)
        except Exception:
            # A defect met on one command is told to its sender, and ends nothing else.
            log.exception("command failed", method=command.method)
            reply = failure_reply(CommandError("internal-error", command_id=command.id))
        self._socket.send([*envelope, reply])

    # -- the commands ------------------------------------------------------------------------

    async def _publish(self, arguments: Arguments) -> None:
        try:
            items = items_from_tnetstring(arguments)
        except PublishError as error:
            raise CommandError(BAD_REQUEST, str(error)) from error
        await self._publishing.room()
        self._publishing.submit(items)

    async def _recover(self, _arguments: Arguments) -> None:
        self._publishing.recover()

    async def _uris(self, _arguments: Arguments) -> dict[str, str]:
        """The addresses as they are bound; the asker puts the host it knows in place of a `*`."""
        settings = self._settings
        uris = {"command": settings.command, "publish-pull": settings.pull}
        if settings.sub and not settings.sub_connect:
            uris["publish-sub"] = settings.sub[0]
        return {name: uri for name, uri in uris.items() if uri}

    async def _refresh(self, arguments: Arguments) -> None:
        if "cid" in arguments:
            name = _bytes(arguments, "cid")
            if not await self._publishing.refresh_connection(name):
                raise CommandError("item-not-found")
        elif "channel" in arguments:
            try:
                self._publishing.refresh_channel(_bytes(arguments, "channel").decode())
            except UnicodeDecodeError as error:
                raise CommandError(BAD_REQUEST, "'channel' is not UTF-8") from error
        else:
            raise CommandError(BAD_REQUEST, "neither 'cid' nor 'channel'")

    async def _check_connections(self, arguments: Arguments) -> list[bytes]:
        names = arguments.get("ids")
        if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
            raise CommandError(BAD_REQUEST, "'ids' is not a list of strings")
        found = await self._publishing.connected(names)
        if found is None:
            raise CommandError("proxy-request-failed", "a worker does not answer")
        return found


def _opened(message: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """What leads back to the sender (with the empty part that REQ sockets send), and the rest."""
    end = message.index(b"", 1) + 1 if b"" in message[1:] else 1
    return message[:end], message[end:]


def _bytes(arguments: Arguments, name: str) -> bytes:
    value = arguments[name]
    if not isinstance(value, bytes):
        raise CommandError(BAD_REQUEST, f"'{name}' with wrong type")
    return value
