"""What is told before the end, as a message and as an event."""

from realtime_proxy.sessions.expiry_notice import ExpiryNotice


def test_the_words_are_those_of_the_route_with_the_times_filled_in():
    notice = ExpiryNotice(30, '{"left": {seconds}, "until": {expires_at}}')
    assert notice.text(1000.9, 971.2) == '{"left": 30, "until": 1000}'
    assert notice.text(1000.9, 2000) == '{"left": 0, "until": 1000}'


def test_each_line_is_one_of_the_event():
    assert ExpiryNotice(1, "a\nb").event(0, 0) == b"event: expiring\ndata: a\ndata: b\n\n"
