"""Grip-Link; the instruct vectors have its errors."""

import pytest

from realtime_proxy.grip.link import Links, NextLink, parse_links


@pytest.mark.parametrize(
    ("lines", "links"),
    [
        ([], Links()),
        ([b"</n>; rel=next"], Links(next=NextLink("/n", 120))),
        ([b"</n>;rel=next;timeout=0"], Links(next=NextLink("/n", 0))),
        ([b'< n?a=1#f > ; REL="next"; timeout="5"'], Links(next=NextLink("n?a=1#f", 5))),
        ([b"</n?a,b;c>; rel=next"], Links(next=NextLink("/n?a,b;c"))),
        ([b"</1>; rel=next, </2>; rel=next"], Links(next=NextLink("/2"))),
        ([b"</1>; rel=gone", b"</2>; rel=gone"], Links(gone="/2")),
        ([b"</n>; rel=next; timeout=3", b"</g>; rel=gone"], Links(NextLink("/n", 3), "/g")),
        ([b'</b>; rel="Gone next"'], Links(NextLink("/b"), "/b")),
        ([b"</g>; rel=gone; timeout=x"], Links(gone="/g")),
        ([b"</x>; rel=up", b"</x>; timeout=5"], Links()),
        ([b"</n>", b"plain", b"", b"</n>;", b"<"], Links()),
        ([b'</n>; rel="next'], Links()),
        ([b"<https://[::1]:8443/n>; rel=next"], Links(next=NextLink("https://[::1]:8443/n"))),
        ([b"<//h/n>; rel=next"], Links(next=NextLink("//h/n"))),
        ([b"<?after=1>; rel=next"], Links(next=NextLink("?after=1"))),
    ],
)
def test_links(lines, links):
    assert parse_links(lines) == links


def test_what_may_not_stand_in_a_request_line_is_escaped():
    uri = parse_links(['</é b"{}|\\^`?%20%zz>; rel=next'.encode()]).next.uri
    assert uri == "/%C3%A9%20b%22%7B%7D%7C%5C%5E%60?%20%zz"
