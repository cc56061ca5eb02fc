from realtime_proxy.serving.patient_writer import MAX_WAITING_BYTES, PatientWriter


class Sink:
    def __init__(self):
        self.parts = []

    def write(self, data):
        self.parts.append(data)


def test_writes_at_once_unless_paused():
    sink = Sink()
    writer = PatientWriter(sink)
    writer.write(b"1")
    writer.pause()
    writer.pause()
    writer.write(b"2")
    writer.write(b"3")
    assert sink.parts == [b"1"]
    writer.go_on()
    writer.go_on()
    writer.write(b"4")
    assert sink.parts == [b"1", b"2", b"3", b"4"]


def test_more_than_may_wait_is_written():
    sink = Sink()
    writer = PatientWriter(sink)
    writer.pause()
    half = bytes(MAX_WAITING_BYTES // 2)
    writer.write(half)
    writer.write(half)
    assert sink.parts == []
    writer.write(b"x")
    assert sink.parts == [half, half, b"x"]
    writer.write(b"y")  # it is paused still
    assert len(sink.parts) == 3
