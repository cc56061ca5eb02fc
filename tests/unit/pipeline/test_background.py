"""Background work of handlers: a failure is logged and goes no further."""

from typing import Any

import pytest

from realtime_proxy.pipeline import BaseHandler, HandlerContext, NoConfig
from realtime_proxy.pipeline.background import run_logged


class Lines(list[dict[str, Any]]):
    """A logger that keeps what it is told."""

    def exception(self, _: str, **fields: Any) -> None:
        self.append(fields)


class Working(BaseHandler):
    """Runs, and then raises what it was made with."""

    ran = False

    async def run(self) -> None:
        self.ran = True
        if self.config is not None:
            raise self.config


async def run(raised: BaseException | None) -> Lines:
    lines = Lines()
    handler = Working(raised, HandlerContext(name="working", logger=lines))
    await run_logged(handler)
    assert handler.ran
    return lines


async def test_work_that_ends_is_no_news() -> None:
    assert await run(None) == []


async def test_a_failure_is_logged_with_its_handler() -> None:
    assert await run(LookupError("no keys")) == [{"handler": "working", "moment": "run"}]


async def test_being_told_to_stop_is_no_failure() -> None:
    with pytest.raises(KeyboardInterrupt):
        await run(KeyboardInterrupt())


async def test_a_handler_without_work_has_nothing_to_do() -> None:
    await run_logged(BaseHandler(NoConfig(), HandlerContext(name="idle", logger=None)))
