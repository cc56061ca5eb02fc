"""Runs Autobahn cases against the server at an address, and prints what came of each as JSON.

    python autobahn_client.py ws://HOST:PORT/PATH CASES EXCLUDED

Cases are ids or patterns such as `9.*`, parted by commas.
"""

import asyncio
import json
import os
import sys
from functools import wraps

from kosoku import FailureError, _caseindex, run_fuzzingclient


def as_bytes(on_message):
    """The cases of compression count on bytes, which the runner has for deflated messages only."""

    @wraps(on_message)
    def wrapped(self, message, binary):
        if isinstance(message, str):
            message = message.encode("latin-1" if binary else "utf-8")
        on_message(self, message, binary)

    return wrapped


async def run(address, cases, excluded):
    try:
        return await run_fuzzingclient(address, cases, excluded, concurrency=2)
    except FailureError as failure:
        return failure.results


def main():
    _caseindex.initialize_shims()
    from case12_x_x import Case12_X_X, Case13_X_X

    for case in (*Case12_X_X, *Case13_X_X):
        case.onMessage = as_bytes(case.onMessage)
    address, cases, excluded = sys.argv[1:]
    results = asyncio.run(run(address, cases.split(","), [x for x in excluded.split(",") if x]))
    verdicts = {
        result.case_id: [result.behavior.value, result.behavior_close.value, result.result]
        for result in results
    }
    json.dump(verdicts, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # the runner's threads now and then abort an interpreter that ends


main()
