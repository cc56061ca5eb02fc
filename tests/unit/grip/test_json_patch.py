"""body-patch: RFC 6902 where Pushpin deviates, what the result looks like, what is too much."""

import pytest

from realtime_proxy.grip.json_patch import MAX_OPERATIONS, patched_body

BODY = b'{"n": 1, "l": [1, 2], "o": {"b": 2.5, "a": "\xc3\xa9"}}'
REST = b'"n":1,"o":{"a":"\xc3\xa9","b":2.5}}'


def op(name, path, **members):
    return {"op": name, "path": path, **{key.rstrip("_"): value for key, value in members.items()}}


@pytest.mark.parametrize(
    ("patch", "body"),
    [
        ([], b'{"l":[1,2],' + REST),
        ([op("add", "/l/0", value=0)], b'{"l":[0,1,2],' + REST),
        ([op("add", "/l/2", value=3)], b'{"l":[1,2,3],' + REST),
        ([op("add", "/l/-", value=3)], b'{"l":[1,2,3],' + REST),
        ([op("remove", "/l")], b"{" + REST),
        ([op("replace", "", value=[])], b"[]"),
        ([op("replace", "", value=None)], b"null"),
        ([op("add", "/", value=1), op("remove", "/l")], b'{"":1,' + REST),
        ([op("move", "/l", from_="/n"), op("remove", "/o")], b'{"l":1}'),
        ([op("copy", "/l/-", from_="/n"), op("remove", "/o")], b'{"l":[1,2,1],"n":1}'),
        ([op("test", "/n", value=1.0), op("remove", "/l")], b"{" + REST),
        ([op("add", "/a~1b~0c", value=1)], b'{"a/b~c":1,"l":[1,2],' + REST),
    ],
)
def test_operations(patch, body):
    assert patched_body(BODY, patch) == body


@pytest.mark.parametrize(
    "patch",
    [
        [op("dance", "/n")],
        [op("add", "/n")],
        [op("remove", "/none")],
        [op("add", "/none/below", value=1)],
        [op("add", "/l/3", value=1)],
        [op("add", "/l/01", value=1)],
        [op("add", "/l/-1", value=1)],
        [op("add", "n", value=1)],
        [op("test", "/n", value=1.4)],
        [op("test", "/n", value=True)],
        [op("move", "/o/c", from_="/o")],
        [op("copy", "/x", from_="/none")],
        [op("copy", "/x", from_=5)],
        [op("remove", "/l"), op("remove", "/l")],
        [{"path": "/n"}],
        [{"op": "remove"}],
        [{"op": ["remove"], "path": "/n"}],
        ["text"],
        [None],
    ],
)
def test_any_failure_empties_the_body(patch):
    assert patched_body(BODY, patch) == b""


@pytest.mark.parametrize("body", [b"", b"text", b"5", b'"x"', b"null", b"\xff", b"[" * 100_000])
def test_only_objects_and_arrays_can_be_patched(body):
    assert patched_body(body, []) == b""


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_line_end_is_kept(end):
    assert patched_body(b"[ 1 ]" + end, [op("add", "/0", value=0)]) == b"[0,1]" + end


def test_a_patch_is_the_same_after_its_use():
    patch = [op("add", "/x", value={"a": []}), op("add", "/x/a/-", value=1)]
    for _ in range(2):
        assert patched_body(b"{}", patch) == b'{"x":{"a":[1]}}'
    assert patch[0]["value"] == {"a": []}


def test_doubling_is_stopped():
    patch = [op("copy", f"/{n}", from_="") for n in range(100)]
    assert patched_body(b'{"a": 1}', patch[:5]) != b""
    assert patched_body(b'{"a": 1}', patch) == b""


def test_too_many_operations_are_refused():
    patch = [op("test", "/n", value=1)] * MAX_OPERATIONS
    assert patched_body(BODY, patch) != b""
    assert patched_body(BODY, [*patch, patch[0]]) == b""


def test_a_patch_too_deep_to_copy():
    value = []
    for _ in range(5000):
        value = [value]
    assert patched_body(b"{}", [op("add", "/x", value=value)]) == b""
