"""When a quiet WebSocket client is pinged, and when it is given up."""

from enum import Enum

import attrs

from realtime_proxy.sessions.keep_alive import idle_delay


class Finding(Enum):
    """What is to be done about a client's silence."""

    NOTHING = "it may stay as it is"
    PING = "it is to be asked for a sign of life"
    STALLED = "it can't be heard or reached just now, which tells nothing of it: ask again later"
    LOST = "it was asked, and has not answered"
    IDLE = "nothing has passed for as long as is allowed"


@attrs.frozen
class Silence:
    """How long a client has been quiet, in seconds, and what may explain that."""

    unheard_seconds: float  # nothing came from it
    idle_seconds: float  # nothing was sent to it, either
    unanswered_seconds: float | None = None  # since it was pinged, if it was
    is_stalled: bool = False  # it is not read just now, or has not taken all that it was sent


JUST_HEARD = Silence(0, 0)


@attrs.frozen
class SilenceRules:
    """After `ping_seconds` without a word a client is pinged, and has `pong_seconds` to answer.

    0 for the first: never.
    """

    ping_seconds: float
    pong_seconds: float

    def judge(self, silence: Silence, max_idle_seconds: float) -> tuple[Finding, float]:
        """What to do, and in how many seconds to look again; 0: not at all.

        `max_idle_seconds` is how long a client may stay without any traffic; 0: for ever.
        """
        idle_left = max_idle_seconds - silence.idle_seconds
        if max_idle_seconds and idle_left <= 0:
            return Finding.IDLE, 0
        if not self.ping_seconds:
            return Finding.NOTHING, max(idle_left, 0)
        finding, wait = self._ping_or_wait(silence)
        if finding is Finding.LOST or not max_idle_seconds:
            return finding, wait
        return finding, min(wait, idle_left)

    def _ping_or_wait(self, silence: Silence) -> tuple[Finding, float]:
        unanswered, soon = silence.unanswered_seconds, min(self.ping_seconds, self.pong_seconds)
        if unanswered is not None:
            if silence.is_stalled:
                return Finding.STALLED, soon
            left = self.pong_seconds - unanswered
            return (Finding.NOTHING, left) if left > 0 else (Finding.LOST, 0)
        if wait := idle_delay(self.ping_seconds, silence.unheard_seconds):
            return Finding.NOTHING, wait
        return (Finding.STALLED if silence.is_stalled else Finding.PING), soon
