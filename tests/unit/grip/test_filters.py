"""Message filters, alone and in chains."""

import pytest

from realtime_proxy.errors import FilterError, FilterMismatch
from realtime_proxy.grip.filters import NO_FILTERS, FilterChain, FilterInput
from realtime_proxy.grip.http_filter import FilterReply


def given(sub_meta=None, pub_meta=None, last_ids=None):
    return FilterInput(sub_meta or {}, pub_meta or {}, last_ids or {})


def run(names, given, content=b"x", replies=()):
    """What becomes of content, and the requests on the way."""
    filtering = FilterChain(names).run(given, content)
    requests = []
    try:
        for reply in (None, *replies):
            requests.append(filtering.send(reply))  # noqa: PERF401  its end comes on the way
    except StopIteration as stop:
        return stop.value, requests
    raise AssertionError("a reply is missing")


@pytest.mark.parametrize(
    ("name", "sub_meta", "pub_meta", "passes"),
    [
        ("skip-self", {"user": "a"}, {"sender": "a"}, False),
        ("skip-self", {"user": "a"}, {"sender": "b"}, True),
        ("skip-self", {"user": "a"}, {"sender": "A"}, True),
        ("skip-self", {"user": "a"}, {}, True),
        ("skip-self", {}, {"sender": "a"}, True),
        ("skip-self", {"user": ""}, {"sender": ""}, True),
        ("skip-users", {"user": "a"}, {"skip_users": "a"}, False),
        ("skip-users", {"user": "a"}, {"skip_users": "b, a"}, False),
        ("skip-users", {"user": "a"}, {"skip_users": " a ,b"}, False),
        ("skip-users", {"user": "a"}, {"skip_users": "b,aa"}, True),
        ("skip-users", {"user": "a"}, {"skip_users": ""}, True),
        ("skip-users", {"user": ""}, {"skip_users": "a,,b"}, True),
        ("skip-users", {}, {"skip_users": "a,"}, True),
        ("require-sub", {}, {}, True),
        ("require-sub", {}, {"require_sub": ""}, True),
        ("require-sub", {}, {"require_sub": "here"}, True),
        ("require-sub", {}, {"require_sub": "there"}, False),
        ("Skip-Self", {"user": "a"}, {"sender": "a"}, True),
        ("unknown", {"user": "a"}, {"sender": "a"}, True),
    ],
)
def test_filters_that_skip(name, sub_meta, pub_meta, passes):
    result, _ = run([name], given(sub_meta, pub_meta, {"here": None}))
    assert result == (b"x" if passes else None)


def test_var_subst():
    result, _ = run(["var-subst"], given({"name": "Bob"}), b"Hi %(name)s, 100%%")
    assert result == b"Hi Bob, 100%"


def test_build_id():
    meta = {"id_format": "%(a)s_%(b)s"}
    result, _ = run(["build-id"], given(meta, {}, {"a": "6", "b": "9"}), b"id: %I")
    assert result == b"id: 6_9"


def test_each_sees_what_the_one_before_has_made():
    meta = {"id_format": "9", "x": "%I", "y": "100%%"}
    assert run(["var-subst", "build-id"], given(meta), b"%(x)s")[0] == b"9"
    assert run(["var-subst", "var-subst"], given(meta), b"%(y)s")[0] == b"100%"


def test_the_first_that_drops_ends_the_chain():
    meta = {"user": "a", "url": "/"}
    result, requests = run(
        ["var-subst", "skip-self", "var-subst", "http-check"], given(meta, {"sender": "a"}), b"%%%%"
    )
    assert (result, requests) == (None, [])


def test_a_backend_is_asked_about_what_came_before():
    meta = {"url": "/f", "name": "Bob"}
    chain = ["http-check", "var-subst", "http-modify", "var-subst"]
    replies = [FilterReply(204), FilterReply(200, None, b"%(name)s 2")]
    result, requests = run(chain, given(meta, {"p": "q"}, {"a": "5"}), b"%(name)s 1", replies)
    assert result == b"Bob 2"
    assert [request.body for request in requests] == [b"", b"Bob 1"]
    for request in requests:
        assert request.headers.get(b"pub-meta") == b'{"p":"q"}'
        assert request.headers.get(b"grip-last") == b"a; last-id=5"


def test_a_backend_may_drop():
    replies = [FilterReply(200, b"drop")]
    result, requests = run(["http-check", "http-modify"], given({"url": "/f"}), b"x", replies)
    assert result is None
    assert len(requests) == 1


@pytest.mark.parametrize("name", ["build-id", "var-subst", "http-check", "http-modify"])
def test_errors_come_out(name):
    with pytest.raises(FilterError):
        run([name], given(), b"%I")


def test_a_failure_of_whoever_asks_comes_out():
    filtering = FilterChain(["http-check"]).run(given({"url": "/"}), b"x")
    next(filtering)
    with pytest.raises(FilterError, match="unexpected network request status: code=500"):
        filtering.send(FilterReply(500))


@pytest.mark.parametrize(
    ("names", "is_some", "asks"),
    [
        ([], False, False),
        (["unknown", ""], False, False),
        (["unknown", "skip-self"], True, False),
        (["require-sub", "http-check"], True, True),
        (["http-modify"], True, True),
    ],
)
def test_what_a_chain_has(names, is_some, asks):
    chain = FilterChain(names)
    assert (bool(chain), chain.asks) == (is_some, asks)


@pytest.mark.parametrize(
    ("names", "named"),
    [
        ([], None),
        ([], ()),
        (["var-subst"], None),
        (["skip-self", "var-subst", "unknown"], ("var-subst",)),
        (
            ["build-id", "http-check", "http-modify", "require-sub", "var-subst", "skip-users"],
            ("build-id", "http-modify", "var-subst"),
        ),
    ],
)
def test_items_that_name_the_content_filters(names, named):
    FilterChain(names).check_content_filters(named)


@pytest.mark.parametrize(
    ("names", "named", "ours"),
    [
        ([], ("var-subst",), ""),
        (["var-subst"], (), "var-subst"),
        (["skip-self"], ("skip-self",), ""),
        (["build-id", "var-subst"], ("var-subst", "build-id"), "build-id,var-subst"),
    ],
)
def test_items_that_name_others(names, named, ours):
    with pytest.raises(FilterMismatch) as raised:
        FilterChain(names).check_content_filters(named)
    reason = f"content filter mismatch: subscription={ours} message={','.join(named)}"
    assert raised.value.reason == str(raised.value) == reason


def test_no_filters():
    assert not NO_FILTERS
    assert run((), given())[0] == b"x"
