import attrs

from realtime_proxy.inputs.open_connections import OpenConnections
from realtime_proxy.testing.recording_subscriber import RecordingSubscriber


@attrs.frozen
class Client:
    request_number: int | None


CLIENTS = [Client(7), Client(None), Client(12)]


def test_websockets_are_named_by_their_ids_and_http_requests_by_their_numbers():
    connections = OpenConnections("me_1", CLIENTS)
    connections.websockets[b"id"] = RecordingSubscriber()
    asked = [b"me_1:12", b"id", b"me_1:8", b"other:7", b"me_1:None", b"me_1:7", b"", b"me_1:07"]
    assert connections.connected(asked) == [b"me_1:12", b"id", b"me_1:7"]


def test_only_websockets_ask_their_backends():
    connections = OpenConnections("me_1", CLIENTS)
    websocket = connections.websockets[b"id"] = RecordingSubscriber()
    assert connections.refresh(b"id")
    assert connections.refresh(b"me_1:7")
    assert not connections.refresh(b"me_1:8")
    assert not connections.refresh(b"gone")
    assert websocket.updates == 1
