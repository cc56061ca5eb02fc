"""Effects are values: sessions are tested by them, the serving side goes by their classes."""

from typing import get_args

import attrs
import pytest

from realtime_proxy.sessions import effects
from realtime_proxy.sessions.effects import Effect, SendClose, SendMessage

KINDS = get_args(Effect)


def test_every_class_is_an_effect():
    defined = {value for value in vars(effects).values() if attrs.has(value)}
    here = {kind for kind in defined if kind.__module__ == effects.__name__}
    assert here == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_effects_do_not_change(kind):
    effect = kind(*[None for _ in attrs.fields(kind)])
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        effect.anything = 1


def test_effects_with_the_same_content_are_equal():
    assert SendMessage(1, b"a") == SendMessage(1, b"a") != SendMessage(2, b"a")
    assert SendClose(None) == SendClose(None, "")
