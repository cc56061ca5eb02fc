"""Every source file has its test file, so that a reader knows where to look."""

from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "realtime_proxy"

# Folders whose files need none, and why.
WHOLE_FOLDERS = {
    "app": "tests/end_to_end starts and stops the program",
    "serving": "tests/end_to_end drives it through the program's sockets",
    "testing": "fakes: tested by whatever they are used for",
}

# Files without a test file of their own, and why.
EXCEPTIONS = {
    "channels/subscriber.py": "a Protocol",
    "config/admin_section.py": "plain values; tests/unit/config/test_schema.py has all sections",
    "config/consumers_section.py": "plain values; test_schema.py has all sections",
    "config/route_section.py": "plain values; tests/unit/config/test_schema.py has all sections",
    "config/server_section.py": "plain values; tests/unit/config/test_schema.py has all sections",
    "config/source.py": "a plain value",
    "errors.py": "names only; what raises them is tested",
    "inputs/consumer_answers.py": "test_consumer_api.py has what calls are answered with",
    "inputs/consumer_credentials.py": "test_consumer_api.py has all kinds",
    "inputs/consumer_store.py": "what its kinds have in common; they are tested",
    "inputs/overview.py": "Protocols",
    "inputs/publishing.py": "Protocols",
    "model/close_reason.py": "names only",
    "model/connection_filter.py": "a plain value",
    "model/connection_record.py": "plain values",
    "model/dismissal.py": "a plain value",
    "model/item.py": "plain values",
    "model/listed_connection.py": "plain values",
    "model/readiness.py": "names only",
    "pipeline/decision.py": "plain values",
    "pipeline/http_client.py": "a Protocol",
    "pipeline/services.py": "Protocols and a plain value",
    "sessions/websocket_session.py": "a Protocol",
}

MODULES = sorted(
    str(path.relative_to(PACKAGE))
    for path in PACKAGE.rglob("*.py")
    if path.name not in {"__init__.py", "__main__.py"} and path.parent.name not in WHOLE_FOLDERS
)


def has_test(module: str) -> bool:
    """A test of the same name in the same folder, below `unit` or `io`."""
    path = Path(module)
    return any(
        (CHECKOUT / "tests" / floor / path.parent / f"test_{path.name}").is_file()
        for floor in ("unit", "io")
    )


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_test_file(module: str) -> None:
    assert has_test(module) != (module in EXCEPTIONS)


@pytest.mark.parametrize("module", EXCEPTIONS)
def test_an_exception_is_still_a_module(module: str) -> None:
    assert module in MODULES


@pytest.mark.parametrize("handler", sorted(p.stem for p in (CHECKOUT / "handlers").glob("*.py")))
def test_a_handler_has_its_test_file(handler: str) -> None:
    assert (CHECKOUT / "tests" / "handlers" / f"test_{handler}.py").is_file()
