"""The example application with what only tests ask of it, for a server of its own: run with a port.

It publishes over ZeroMQ as well, with the publisher of its own library given one more client.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "django"))

import app
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path
from django_grip import set_hold_longpoll, websocket_only
from gripcontrol import Channel, GripPubControl
from pubcontrol import Item

over_zmq = GripPubControl()
over_zmq.apply_config({"zmq_push_uri": os.environ["PUSH_URI"]})


def say_over_zmq(request, room):
    over_zmq.publish(room, Item(app.formats_of(request.body.decode())), blocking=True)
    return HttpResponse("said\n")


def signed(request):
    return HttpResponse(f"{request.grip.proxied} {request.grip.signed}\n")


def poll_two(request, room):
    """A long-poll on two channels, for a client that has seen all there is."""
    set_hold_longpoll(request, [Channel(room), Channel(f"{room}-more")], timeout=5)
    return HttpResponse(status=304)


@websocket_only
def counting(request):
    """Counts messages in the connection's meta: nothing is kept here."""
    socket = request.wscontext
    if socket.is_opening():
        socket.accept()
        socket.meta["count"] = "0"
    while socket.can_recv():
        message = socket.recv()
        if message is None:
            socket.close()
            return
        socket.meta["count"] = str(int(socket.meta["count"]) + 1)
        socket.send(f"{socket.meta['count']} {message}")
        if message == "detach":
            socket.detach()


app.urlpatterns += [
    path("signed", signed),
    path("counting", counting),
    path("<slug:room>/say-over-zmq", say_over_zmq),
    path("<slug:room>/poll-two", poll_two),
]

if __name__ == "__main__":
    execute_from_command_line(["site", "runserver", "--noreload", f"127.0.0.1:{sys.argv[1]}"])
