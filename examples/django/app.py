"""Chat rooms in Django: streams, long-polls and WebSockets, without a connection per client here.

The proxy in front holds the connections; these views say what to hold, and are done. One file, so
that all of it can be seen: the settings, the views, the paths.
"""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path

ADDRESS = "127.0.0.1:8000"
PROXY = "http://127.0.0.1:5561?iss=realtime-proxy&key=only-for-this-example-make-your-own"

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="only-for-this-example",
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django_grip.GripMiddleware"],
    # Where to publish, and the key by which the proxy's requests are known. It has to be the one
    # in routes.toml.
    GRIP_URL=os.environ.get("GRIP_URL", PROXY),
    # Nobody gets a hold who does not come through the proxy.
    GRIP_PROXY_REQUIRED=True,
)

# These read the settings while they are imported.
from django_grip import (  # noqa: E402
    publish,
    set_hold_longpoll,
    set_hold_stream,
    websocket_only,
)
from gripcontrol import (  # noqa: E402
    HttpResponseFormat,
    HttpStreamFormat,
    WebSocketMessageFormat,
)


def events(request, room):
    """A stream for `EventSource`: it stays open, and every message is appended to it."""
    set_hold_stream(request, room, keep_alive_data=":\n\n", keep_alive_timeout=20)
    return HttpResponse(": welcome\n\n", content_type="text/event-stream")


def poll(request, room):
    """A long-poll: it is answered by the next message, or like this after a while."""
    set_hold_longpoll(request, room, timeout=25)
    return HttpResponse("nothing new\n", content_type="text/plain")


@websocket_only
def chat(request, room):
    """A WebSocket: called with what has arrived, and done when that is answered."""
    socket = request.wscontext
    if socket.is_opening():
        socket.accept()
        socket.subscribe(room)
    while socket.can_recv():
        try:
            message = socket.recv()
        except OSError:  # the client was lost
            break
        if message is None:  # the client closes
            socket.close(socket.close_code or 1000)
        elif message == "/quit":
            socket.close(4000)
        elif isinstance(message, str):
            tell(room, message)
        else:
            socket.send_binary(message)


def say(request, room):
    """Publish to everybody in the room, however they listen."""
    if request.method != "POST":
        return HttpResponse("use POST\n", status=405)
    tell(room, request.body.decode())
    return HttpResponse("said\n")


def tell(room, message):
    publish(room, formats_of(message), blocking=True)


def formats_of(message):
    """The message as each kind of listener is to get it."""
    lines = "".join(f"data: {line}\n" for line in message.splitlines())
    return [
        HttpStreamFormat(f"{lines}\n"),
        HttpResponseFormat(body=f"{message}\n"),
        WebSocketMessageFormat(message),
    ]


urlpatterns = [
    path("<slug:room>/events", events),
    path("<slug:room>/poll", poll),
    path("<slug:room>/chat", chat),
    path("<slug:room>/say", say),
]

if __name__ == "__main__":
    arguments = sys.argv[1:] or ["runserver", "--noreload", ADDRESS]
    execute_from_command_line(["app.py", *arguments])
