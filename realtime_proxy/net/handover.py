"""Handing a client's connection to another process on this machine, over a unix socket.

The descriptor goes with what is known of the client and what it has sent so far (unix(7),
SCM_RIGHTS). Each hand-over has a connection of its own, whose end ends what was sent.
"""

import array
import contextlib
import os
import socket
from typing import Self

import attrs
import msgspec
import trio

from realtime_proxy.model.client_certificate import ClientCertificate
from realtime_proxy.net.backlogs import Backlogs
from realtime_proxy.net.client_socket import ClientSocket
from realtime_proxy.net.watcher import Watcher

_RECEIVE_BYTES = 65_536
# What a client has sent so far is a head and what came with it; this is more than that can be.
_MAX_PARCEL_BYTES = 10_000_000
_DESCRIPTOR_BYTES = array.array("i").itemsize


class _Label(msgspec.Struct):
    """What is known of a client."""

    peer: str
    tls: bool
    certificate: bytes


@attrs.frozen
class Parcel:
    """A connection, and what its new owner has to know.

    `tls` says that the client speaks TLS, with whoever hands it over; `certificate` is what it has
    shown there (DER), `data` what it has sent so far.
    """

    raw: socket.socket
    peer: str
    tls: bool
    certificate: bytes
    data: bytes

    async def send(self, path: str) -> None:
        """Hand it to who listens at a path. Raises OSError if nobody does."""
        label = msgspec.json.encode(_Label(self.peer, self.tls, self.certificate))
        with trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
            await stream.connect(path)
            rights = array.array("i", [self.raw.fileno()])
            data = label + b"\n" + self.data
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
            sent = await stream.sendmsg([data], ancillary)
            while sent < len(data):
                sent += await stream.send(data[sent:])

    @classmethod
    async def receive(cls, stream: socket.socket) -> Self:
        """What is handed over by this connection, which is closed. Raises OSError, ValueError."""
        with trio.socket.from_stdlib_socket(stream) as incoming, contextlib.ExitStack() as opened:
            space = socket.CMSG_SPACE(_DESCRIPTOR_BYTES)
            data, ancillary, _flags, _address = await incoming.recvmsg(_RECEIVE_BYTES, space)
            raw = _descriptor(ancillary)
            opened.callback(raw.close)
            while more := await incoming.recv(_RECEIVE_BYTES):
                data += more
                if len(data) > _MAX_PARCEL_BYTES:
                    raise ValueError("it is too large")
            label, _, sent = data.partition(b"\n")
            known = msgspec.json.decode(label, type=_Label)
            raw.setblocking(False)
            opened.pop_all()
            return cls(raw, known.peer, known.tls, known.certificate, sent)


def _descriptor(ancillary: list[tuple[int, int, bytes]]) -> socket.socket:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            rights = array.array("i", data[: len(data) - len(data) % _DESCRIPTOR_BYTES])
            first, *others = rights
            for other in others:
                os.close(other)
            return socket.socket(fileno=first)
    raise ValueError("there is no descriptor with it")


class HandedOverSocket(ClientSocket):
    """A connection whose TLS, if there is any, is somewhere else."""

    __slots__ = ("_certificate",)

    def __init__(self, parcel: Parcel, watcher: Watcher, backlogs: Backlogs) -> None:
        super().__init__(parcel.raw, None, watcher, backlogs)
        der = parcel.certificate
        self._certificate = ClientCertificate(der) if der else None

    @property
    def client_certificate(self) -> ClientCertificate | None:
        """The certificate that the client has shown to who handed it over."""
        return self._certificate
