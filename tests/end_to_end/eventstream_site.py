"""A Django site with django-eventstream as it is: run with a port and a folder for its database.

Nothing in it knows of a proxy but two settings: where to publish, and the key of its requests.
"""

import json
import os
import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command, execute_from_command_line
from django.http import HttpResponse
from django.urls import include, path

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="only-for-this-test-and-of-no-use-elsewhere",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django_eventstream",
    ],
    MIDDLEWARE=["django_grip.GripMiddleware"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(sys.argv[2]) / "events.sqlite3",
            "OPTIONS": {"timeout": 20},
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    EVENTSTREAM_STORAGE_CLASS="django_eventstream.storage.DjangoModelStorage",
    GRIP_URL=os.environ["GRIP_URL"],
    GRIP_PROXY_REQUIRED=False,
)
django.setup()

# It reads the settings while it is imported.
from django_eventstream import send_event  # noqa: E402


def send(request, channel):
    """Send each element of the body's list as an event; answered when all are published."""
    for data in json.loads(request.body):
        send_event(channel, "message", data, async_publish=False)
    return HttpResponse("sent\n")


def store(request):
    """What only the store knows: an event that the proxy is never told of, as if it were down."""
    from django_eventstream.utils import get_storage

    get_storage().append_event("news", "message", json.dumps(json.loads(request.body)))
    return HttpResponse("stored\n")


PAGE = """<!doctype html><title>events</title><script>
const received = [];
let opened = 0;
const source = new EventSource("/events/");
source.addEventListener("stream-open", () => opened += 1);
source.addEventListener("message", (event) => received.push(JSON.parse(event.data)));
</script>"""


def page(request):
    """A page that keeps all it receives, to be asked by a test."""
    return HttpResponse(PAGE)


urlpatterns = [
    path("events/", include("django_eventstream.urls"), {"channels": ["news", "sport"]}),
    path("send/<slug:channel>", send),
    path("store", store),
    path("page", page),
]

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    execute_from_command_line(["site", "runserver", "--noreload", f"127.0.0.1:{sys.argv[1]}"])
