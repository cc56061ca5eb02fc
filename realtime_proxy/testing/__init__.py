"""Fakes for tests of what talks to the proxy: scripted backends, raw clients, subscribers.

Blocking sockets and threads, so that a test reads from top to bottom; every wait has a deadline.
Only tests import this. Nothing here uses the proxy's own parsers, which it is there to check.

    scripted_backend.py      a backend that answers as a function says, in time or not, whole or not
    raw_client.py            a client that sees every byte and how the connection ended
    websocket_client.py      frames by hand on such a client, right ones and wrong ones
    publisher.py             publishing to a running program
    browser.py               a headless Chromium
    events.py                bodies of WebSocket-over-HTTP, written and read
    recording_subscriber.py  a subscriber of channels that keeps what it gets
    reserved_ports.py        ports for programs that a test starts
"""
