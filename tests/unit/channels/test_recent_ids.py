from realtime_proxy.channels.recent_ids import RecentIds


def test_a_second_item_with_an_id_is_repeated_until_the_time_of_the_first_is_over():
    ids = RecentIds(60.0)
    assert not ids.is_repeated("a", "1", 100.0)
    assert ids.is_repeated("a", "1", 100.0)
    assert ids.is_repeated("a", "1", 159.9)
    assert not ids.is_repeated("a", "1", 160.0)
    assert ids.is_repeated("a", "1", 219.9)


def test_ids_are_those_of_a_channel():
    ids = RecentIds(60.0)
    assert not ids.is_repeated("a", "1", 0.0)
    assert not ids.is_repeated("b", "1", 0.0)
    assert not ids.is_repeated("a1", "2", 0.0)
    assert not ids.is_repeated("a", "12", 0.0)


def test_without_time_nothing_is_repeated():
    ids = RecentIds(0.0)
    assert not ids.is_repeated("a", "1", 0.0)
    assert not ids.is_repeated("a", "1", 0.0)
    assert len(ids) == 0


def test_ids_whose_time_is_over_are_not_kept():
    ids = RecentIds(60.0)
    for number in range(100):
        ids.is_repeated("a", str(number), float(number))
    assert len(ids) == 60


def test_only_so_many_are_kept():
    ids = RecentIds(60.0, max_ids=3)
    for name in "abcd":
        ids.is_repeated("a", name, 0.0)
    assert len(ids) == 3
    assert ids.is_repeated("a", "b", 0.0)
    assert not ids.is_repeated("a", "a", 0.0)


def test_the_time_may_change():
    ids = RecentIds(60.0)
    ids.is_repeated("a", "1", now=0.0)
    ids.seconds = 10.0
    assert not ids.is_repeated("a", "1", now=10.0)
    ids.seconds = 0.0
    assert not ids.is_repeated("a", "1", now=10.0)
    assert len(ids) == 0


def test_a_forgotten_id_is_new_again():
    recent = RecentIds(60.0)
    assert not recent.is_repeated("a", "1", 0.0)
    recent.forget("a", "1")
    recent.forget("a", "never seen")
    assert not recent.is_repeated("a", "1", 0.0)
