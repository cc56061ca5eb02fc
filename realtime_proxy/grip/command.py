"""Commands and their replies as TNetStrings: what operators and libraries ask a running proxy."""

from collections.abc import Mapping
from typing import Any

import attrs

from realtime_proxy.errors import CommandError
from realtime_proxy.grip.tnetstring_text import (
    NotTnetstringError,
    decode_tnetstring,
    encode_tnetstring,
)

BAD_REQUEST = "bad-request"
Arguments = Mapping[str, Any]


@attrs.frozen
class Command:
    """A command: its arguments as `decode_tnetstring` gives them, and the id its reply gets."""

    method: str
    arguments: Arguments
    id: bytes | None = None


def parse_command(parts: list[bytes]) -> Command:
    """The command in a message. Raises CommandError, which has the id if there was one."""
    if len(parts) != 1:
        raise CommandError(BAD_REQUEST, "a command is one part after an empty one")
    try:
        value = decode_tnetstring(parts[0])
    except NotTnetstringError as error:
        raise CommandError(BAD_REQUEST, "command is not a TNetString") from error
    if not isinstance(value, dict):
        raise CommandError(BAD_REQUEST, "command is not a dictionary")
    command_id = value.get("id")
    if command_id is not None and not isinstance(command_id, bytes):
        raise CommandError(BAD_REQUEST, "'id' with wrong type")
    method, arguments = value.get("method"), value.get("args", {})
    if not isinstance(method, bytes):
        raise CommandError(BAD_REQUEST, "'method' is missing, or of a wrong type", command_id)
    if not isinstance(arguments, dict):
        raise CommandError(BAD_REQUEST, "'args' with wrong type", command_id)
    return Command(method.decode(errors="replace"), arguments, command_id)


def success_reply(command: Command, value: Any = None) -> bytes:
    """The reply to a command that was carried out."""
    return _reply(command.id, {"success": True, "value": value})


def failure_reply(error: CommandError) -> bytes:
    """The reply to a command that was not, with the reason."""
    reply: dict[str, Any] = {"success": False, "condition": error.condition}
    if error.text:
        reply["value"] = error.text
    return _reply(error.command_id, reply)


def _reply(command_id: bytes | None, reply: dict[str, Any]) -> bytes:
    return encode_tnetstring(reply if command_id is None else {"id": command_id, **reply})
