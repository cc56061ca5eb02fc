from realtime_proxy.app.log_ration import LogRation


def test_what_is_left_out_is_told_later():
    ration = LogRation(2, 1.0)
    assert [ration.take(at) for at in (0.0, 0.1, 0.2, 0.9)] == [0, 0, None, None]
    assert [ration.take(at) for at in (1.0, 1.1, 1.2)] == [2, 0, None]
    assert ration.take(9.0) == 1
