"""What a handler does besides requests, fenced: its failure is its own."""

from realtime_proxy.pipeline.handler import BaseHandler


async def run_logged(handler: BaseHandler) -> None:
    """Run a handler's background work to its end. Whatever it raises is logged, and ends it."""
    try:
        await handler.run()
    except Exception:
        handler.context.logger.exception(
            "handler failed", handler=handler.context.name, moment="run"
        )
