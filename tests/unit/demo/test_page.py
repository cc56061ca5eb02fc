import base64
import hashlib
import re

import pytest

from realtime_proxy.demo.page import load_page, page_response


def policy(host=b"h:1"):
    text = page_response(host).headers.get(b"content-security-policy").decode()
    return dict(part.split(" ", 1) for part in text.split("; "))


def test_head():
    response = page_response(b"h:1")
    assert response.status == 200
    assert response.headers.get(b"content-type") == b"text/html; charset=utf-8"
    assert response.headers.get(b"vary") == b"Accept"


@pytest.mark.parametrize("tag", ["style", "script"])
def test_policy_names_what_is_inline_and_nothing_else(tag):
    (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>".encode(), load_page().body, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(text).digest()).decode()
    assert policy()[f"{tag}-src"] == f"'sha256-{digest}'"


def test_policy_allows_nothing_by_default():
    assert policy()["default-src"] == "'none'"
    assert policy()["connect-src"] == "'self' ws://h:1 wss://h:1"


@pytest.mark.parametrize("host", [b"", b"h; script-src *", b"h *", b"h,x"])
def test_policy_takes_nothing_but_a_host_from_the_client(host):
    assert policy(host)["connect-src"] == "'self'"
    assert policy(host)["script-src"] == policy()["script-src"]


def test_page_needs_nothing_from_elsewhere():
    body = load_page().body.decode()
    assert not re.findall(r"(?:src|href|action)=[\"'](?!data:)", body)
    assert not re.findall(
        r"\son\w+=|\sstyle=|innerHTML|insertAdjacent|document\.write|eval\(", body
    )
    assert "https://" not in body
    assert "url(" not in body


def test_page_can_be_read_on_a_phone():
    assert (
        b'<meta name="viewport" content="width=device-width, initial-scale=1">' in load_page().body
    )


def test_every_label_and_description_has_its_element():
    body = load_page().body.decode()
    ids = re.findall(r'\sid="([^"]+)"', body)
    assert len(ids) == len(set(ids))
    for names in re.findall(r'\s(?:for|aria-labelledby)="([^"]+)"', body):
        assert set(names.split()) <= set(ids)
