"""Chains of a gateway and the proxy: each check for each, and a table of what was checked."""

import contextlib
import re

import pytest
from rich.console import Console
from rich.table import Table

from realtime_proxy.testing.raw_client import RawClient
from realtime_proxy.testing.scripted_backend import ScriptedBackend
from realtime_proxy.testing.websocket_client import WebSocketClient
from tests.chains.chain import Chain
from tests.chains.gateways import are_named, chosen


@pytest.fixture(scope="module")
def backend():
    with ScriptedBackend() as backend:
        yield backend


@pytest.fixture(scope="module", params=chosen(), ids=lambda gateway: gateway.name)
def chain(request, backend, tmp_path_factory):
    """The chain of a gateway, in the order of the module."""
    gateway = request.param
    if gateway.program is None:
        if obstacle := gateway.source.obstacle():
            pytest.skip(obstacle)
        if are_named():
            pytest.fail(f"{gateway.name} is not installed")
        pytest.skip(f"{gateway.name} is not installed (`make chains` tells why)")
    chain = Chain(gateway, request.module.ORDER, tmp_path_factory.mktemp("chain"), backend)
    yield chain
    chain.stop()


@pytest.fixture(autouse=True)
def _nothing_unhandled(chain):
    """A check fails for what it makes the proxy log that should never be logged."""
    yield
    chain.check_log()


@pytest.fixture
def path(request):
    """A path that no other check of the module uses."""
    return "/" + re.sub(r"[^\w.]+", "-", request.node.name).strip("-")


@pytest.fixture
def connect(chain):
    """Connect to the chain's first member; closed at the end of the test."""
    with contextlib.ExitStack() as stack:

        def connect_one(address=None, **options):
            return stack.enter_context(RawClient(address or chain.address, **options))

        yield connect_one


@pytest.fixture
def websocket(connect):
    """A WebSocket client of the chain, not yet open."""
    return lambda: WebSocketClient(connect())


# -- the table ---------------------------------------------------------------------------------

# The longest first: a name may begin with that of another.
_GATEWAY = "|".join(sorted((re.escape(one.name) for one in chosen()), key=len, reverse=True))
_CHECK = re.compile(rf"tests/chains/test_gateway_(\w+)\.py::test_(\w+)\[({_GATEWAY})(?:-(.+))?\]")
_RESULTS = {"passed": "ok", "failed": "FAILED", "error": "ERROR", "skipped": "not here"}


def pytest_terminal_summary(terminalreporter):
    """What was checked for each gateway and order."""
    results, reasons = {}, set()
    for result, shown in _RESULTS.items():
        for report in terminalreporter.stats.get(result, ()):
            if found := _CHECK.match(getattr(report, "nodeid", "")):
                order, check, gateway, case = found.groups()
                row = check.replace("_", " ") + (f" ({case})" if case else "")
                results.setdefault(order, {}).setdefault(row, {})[gateway] = shown
                if result == "skipped":
                    reasons.add(
                        f"{gateway} is not checked: {report.longrepr[2].removeprefix('Skipped: ')}"
                    )
    for order, rows in results.items():
        _print(terminalreporter, order, rows)
    for reason in sorted(reasons):
        terminalreporter.write_line(reason, yellow=True)


def _print(reporter, order, rows):
    names = [gateway.name for gateway in chosen()]
    table = Table(title=f"\nthe gateway stands {order.replace('_', ' ')}", title_justify="left")
    for column in ("", *names):
        table.add_column(column)
    for row in sorted(rows):
        table.add_row(row, *(rows[row].get(name, "-") for name in names))
    Console(file=reporter, width=150).print(table)
