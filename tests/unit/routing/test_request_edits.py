"""What routes change in requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_proxy.config.route_section import Route, Target
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead
from realtime_proxy.routing.request_edits import RequestEdits

TARGETS = (Target(demo=True),)


def edits(**options):
    return RequestEdits.of(Route(TARGETS, **options))


def path_after(target, **options):
    return edits(**options).apply(RequestHead(b"GET", target, Headers())).target


def test_a_route_that_changes_nothing_has_none():
    assert edits(path="/a", as_host="b") is None


@pytest.mark.parametrize(
    ("options", "path", "want"),
    [
        ({"path_remove": 4}, b"/abc/x?q=/abc", b"/x?q=/abc"),
        ({"path_remove": 4}, b"/abc", b"/"),
        ({"path_remove": 4}, b"/a?q", b"/?q"),
        ({"path_remove": 1}, b"/abc", b"/abc"),
        ({"path": "/old/", "path_replace": "/new/base/"}, b"/old/x?q=1", b"/new/base/x?q=1"),
        ({"path": "/old", "path_replace": ""}, b"/old", b"/"),
        ({"path": "/old", "path_replace": ""}, b"/older", b"/er"),
        ({"path": "/old", "path_replace": ""}, b"/old?x", b"/?x"),
        ({"path_replace": "/base"}, b"/x", b"/base/x"),
        ({"path_remove": 4}, b"*", b"*"),
    ],
)
def test_paths(options, path, want):
    assert path_after(path, **options) == want


@given(st.integers(0, 20), st.sampled_from(["", "/n", "/n/"]), st.text("/a?%"))
def test_a_path_always_begins_with_a_slash_and_keeps_its_query(cut, start, rest):
    target = f"/{rest}".encode()
    for options in ({"path_remove": cut}, {"path": "/", "path_replace": start}):
        if edits(**options) is not None:
            changed = path_after(target, **options)
            assert changed.startswith(b"/")
            assert changed.partition(b"?")[1:] == target.partition(b"?")[1:]


def test_what_paths_begin_with_is_edited_alike():
    assert edits(path="/old/", path_replace="/new/").edited_path(b"/old/") == b"/new/"
    assert edits(path_remove=4).edited_path(b"/abc") == b"/"
    assert edits(remove_headers=("a",)).edited_path(b"") == b""


def test_fields_are_set_and_removed():
    change = edits(set_headers={"X-Set": "v", "X-New": "n"}, remove_headers=("x-gone",))
    came = Headers([(b"x-set", b"client"), (b"X-Gone", b"g"), (b"X-Kept", b"k")])
    head = RequestHead(b"POST", b"/", came, b"1.0")
    changed = change.apply(head)
    assert changed.headers == [(b"X-Kept", b"k"), (b"X-Set", b"v"), (b"X-New", b"n")]
    assert (changed.method, changed.target, changed.version) == (b"POST", b"/", b"1.0")
    assert len(head.headers) == 3
