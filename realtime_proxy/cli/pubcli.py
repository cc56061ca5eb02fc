"""`pubcli`: publish from a shell. Takes everything that `pushpin-publish` takes.

Started once for each message, so it imports nothing that the message at hand does not need.
"""

import sys
from collections.abc import Sequence

from realtime_proxy.cli.publish_arguments import Arguments, parse_arguments
from realtime_proxy.cli.publish_item import build_items, parse_code
from realtime_proxy.errors import PublishError


def main(argv: Sequence[str] | None = None) -> int:
    """Publish what the command line says; the exit status tells whether it was accepted."""
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    try:
        _publish(arguments)
    except PublishError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130  # as a shell reports SIGINT
    sys.stdout.write("Published\n")
    return 0


def _publish(arguments: Arguments) -> None:
    code = parse_code(arguments.code)
    if arguments.user is not None and arguments.bearer is not None:
        raise PublishError("only one authentication method can be specified")
    items = build_items(arguments, code)
    if arguments.spec.lower().startswith(("http:", "https:")):
        from realtime_proxy.cli.publish_http import publish_over_http

        publish_over_http(items, arguments)
    else:
        from realtime_proxy.cli.publish_zmq import publish_over_zmq

        publish_over_zmq(items, arguments)
