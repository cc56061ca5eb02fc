"""Publishing to a running program over its control port."""

# ruff: noqa: S101  what a test stands on fails like the test itself

import json
import time
from typing import Any

from realtime_proxy.testing.raw_client import DEADLINE_SECONDS, RawClient


class Publisher:
    """Publishes to the program whose control port this is."""

    control_port: int

    def __init__(self, control_port: int) -> None:
        self.control_port = control_port

    def publish(
        self, channel: str, *, fields: dict[str, Any] | None = None, **payloads: dict[str, Any]
    ) -> int:
        """Publish, with `http_stream` and so on as formats; how many subscribers there were.

        `fields` are further members of the item.
        """
        formats = {name.replace("_", "-"): payload for name, payload in payloads.items()}
        item = {"channel": channel, "formats": formats, **(fields or {})}
        body = json.dumps({"items": [item]}).encode()
        with RawClient(("127.0.0.1", self.control_port)) as publisher:
            publisher.request("POST", "/publish/", [("Prefer", "return=representation")], body)
            reply = publisher.read_reply()
        assert reply.status == 200, reply
        matched: int = json.loads(reply.body)["matched"]
        return matched

    def publish_until_taken(self, channel: str, **payloads: dict[str, Any]) -> None:
        """Publish until the channel has a subscriber."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not self.publish(channel, **payloads):
            assert time.monotonic() < end, f"nobody has subscribed to {channel}"

    def wait_for_no_subscribers(self, channel: str) -> None:
        """Come back when nobody is subscribed to a channel."""
        end = time.monotonic() + DEADLINE_SECONDS
        while self.publish(channel, http_stream={"content": ""}, ws_message={"content": ""}):
            assert time.monotonic() < end, f"somebody is still subscribed to {channel}"
