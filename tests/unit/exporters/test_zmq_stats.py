from realtime_proxy.exporters.zmq_stats import ZmqStats
from realtime_proxy.metrics.packet import Packet


class Socket:
    def __init__(self, *wanted):
        self.sent = []
        self.send = self.sent.append
        self._wanted = wanted

    def is_wanted(self, topic):
        return topic in self._wanted


def test_packets_are_told_one_by_one_with_their_sender():
    socket = Socket(b"a ", b"b ")
    ZmqStats(socket, "json", "me").send([Packet("a", {"x": 1}), Packet("b", {})])
    assert socket.sent == [[b'a J{"from":"me","x":1}'], [b'b J{"from":"me"}']]


def test_what_nobody_listens_to_is_not_made():
    socket = Socket(b"b ")
    stats = ZmqStats(socket, "json", "me")
    stats.send([Packet("a", {"x": object()}), Packet("b", {}), Packet("a", {})])
    assert socket.sent == [[b'b J{"from":"me"}']]
    assert (stats.tells("a"), stats.tells("b")) == (False, True)
