"""The started program under a hundred thousand wrong inputs: it serves on, and nothing leaks.

Every thousand inputs it is examined: a good request is answered, holds get what is published, the
memory has not grown past a bound, descriptors went back, and nothing unhandled is in the log. A
finding names its input (or its thousand) and the seed; FUZZ_SEED takes another.
"""

import os
import socket

import pytest
from fuzzer.attacks import ATTACKS
from fuzzer.campaign import run_campaign
from fuzzer.program import Program

SEED = int(os.environ.get("FUZZ_SEED", "1"))
# Of every attack within make test; of slow ones fewer.
QUICK = 500


@pytest.fixture(scope="module")
def listener():
    """Of the scripted backend, there for as long as the program is."""
    with socket.create_server(("127.0.0.1", 0), backlog=1_000) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.slow)])
def program(request, tmp_path_factory, listener):
    """One for all attacks, with one worker, then another with two."""
    folder = tmp_path_factory.mktemp("fuzz")
    program = Program(folder, listener.getsockname()[1], workers=request.param)
    yield program
    status = program.stop()
    assert (status, program.complaints) == (0, [])


def name_of(value):
    return getattr(value, "__name__", None)


@pytest.mark.parametrize(("attack", "count"), ATTACKS.items(), ids=name_of)
async def test_some_inputs(program, listener, attack, count):
    await run_campaign(program, listener, attack, min(QUICK, count // 20), SEED)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # on a busy machine, too
@pytest.mark.parametrize(("attack", "count"), ATTACKS.items(), ids=name_of)
async def test_a_hundred_thousand_inputs(program, listener, attack, count):
    await run_campaign(program, listener, attack, count, SEED)
