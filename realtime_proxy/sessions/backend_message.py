"""What a backend's message is to the proxy: something to deliver, to follow, or to leave out."""

from realtime_proxy.grip.control_message import parse_control_message
from realtime_proxy.sessions.effects import Control, SendMessage
from realtime_proxy.wire.websocket_frame import Opcode

_CONTROL_PREFIX = b"c:"


def backend_message(
    opcode: Opcode, content: bytes, prefix: bytes | None
) -> SendMessage | Control | None:
    """What follows from a message, ping or pong of a backend; None: nothing.

    `prefix` is what messages for the client begin with, which is taken off; None if the backend
    does not speak GRIP, so that everything is for the client. Pings and pongs always are.
    """
    if prefix is None or opcode in (Opcode.PING, Opcode.PONG):
        return SendMessage(opcode, content)
    if opcode is Opcode.TEXT and content.startswith(_CONTROL_PREFIX):
        message = parse_control_message(content[len(_CONTROL_PREFIX) :])
        return None if message is None else Control(message)
    if content.startswith(prefix):
        return SendMessage(opcode, content[len(prefix) :])
    return None
