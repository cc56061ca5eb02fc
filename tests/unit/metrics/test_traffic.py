from realtime_proxy.metrics.traffic import Traffic


def test_everything_is_added_up():
    one = Traffic(activity=1, server_messages_sent=2, closed={"idle": 1, "refused": 2})
    other = Traffic(activity=10, minutes=3, closed={"idle": 5}, backend_failures={"timeout": 1})
    other.backend_seconds.observe(2.0)
    one.add(other)
    assert (one.activity, one.minutes, one.server_messages_sent) == (11, 3, 2)
    assert one.closed == {"idle": 6, "refused": 2}
    assert one.backend_failures == {"timeout": 1}
    assert one.backend_seconds.sum_seconds == 2.0
