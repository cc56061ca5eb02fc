from realtime_proxy.model.listed_channel import ListedChannel, listed_channel


def test_workers_are_added_up_by_kind():
    by_worker = {0: {"http-stream": 2, "response": 1}, 1: {"http-stream": 3}, 2: {}}
    assert listed_channel("a", by_worker, "7") == ListedChannel(
        "a", {"http-stream": 5, "response": 1}, {0: 3, 1: 3}, "7"
    )


def test_nobody_is_left():
    assert listed_channel("a", {0: {}}, None) == ListedChannel("a", {}, {}, None)
