from realtime_proxy.exporters.zmq_stats import ZmqStats
from realtime_proxy.metrics.packet import Packet


class Socket:
    def __init__(self):
        self.sent = []
        self.send = self.sent.append


def test_packets_are_told_one_by_one_with_their_sender():
    socket = Socket()
    ZmqStats(socket, "json", "me").send([Packet("a", {"x": 1}), Packet("b", {})])
    assert socket.sent == [[b'a J{"from":"me","x":1}'], [b'b J{"from":"me"}']]
