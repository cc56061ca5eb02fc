"""How a client is told that it has lost its access."""

import json

from realtime_proxy.model.close_reason import CloseReason
from realtime_proxy.sessions.access_loss import EXPIRED, FORBIDDEN, REVOKED


def test_the_words_of_each_kind():
    assert (EXPIRED.close_code, EXPIRED.text) == (4401, "credential expired")
    assert (REVOKED.close_code, REVOKED.text) == (4401, "credential revoked")
    assert (FORBIDDEN.close_code, FORBIDDEN.text) == (4403, "renewal refused")
    assert EXPIRED.reason is CloseReason.EXPIRED
    assert EXPIRED.event == b"event: expired\ndata: credential expired\n\n"


def test_a_long_poll_gets_a_401_with_the_challenge_there_is():
    response = EXPIRED.response('Bearer error="invalid_token"')
    assert response.status == 401
    assert json.loads(response.body) == {"message": "credential expired"}
    assert response.headers.get(b"www-authenticate") == b'Bearer error="invalid_token"'
    assert not EXPIRED.response("").headers.has(b"www-authenticate")
