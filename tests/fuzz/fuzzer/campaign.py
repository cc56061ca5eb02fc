"""Many inputs of one attack, several at a time, with an examination after each thousand."""

import time

import trio
from fuzzer.backend import ScriptedBackend
from fuzzer.health import Audience, Health

EXAMINED_EVERY = 1_000
AT_A_TIME = 64


class FindingError(AssertionError):
    """What an input did, or one of a lot, and how to do it again."""


async def run_campaign(program, listener, attack_class, count, seed):
    """Throw `count` inputs of one attack, and print what it cost. Raises FindingError."""
    backend = ScriptedBackend(listener)
    health = Health(program, backend)
    if not program.is_running:
        raise FindingError("the program has ended", program.complaints)
    attack = attack_class(program, backend, seed)
    async with trio.open_nursery() as nursery:
        await nursery.start(backend.run)
        await nursery.start(Audience(program).run)
        await health.take_baseline()
        started = time.monotonic()
        finding = await _find(attack, count, health)
        seconds = time.monotonic() - started
        nursery.cancel_scope.cancel()
    attack.close()
    size = f"{program.resident_bytes / 1e6:.0f} MB" if program.is_running else "ended"
    print(f"{attack_class.__name__}: {count} inputs of seed {seed} in {seconds:.1f} s, {size}")
    if finding is not None:
        raise FindingError(f"{attack_class.__name__}, seed {seed}: {finding}")


async def _find(attack, count, health):
    """What went wrong, as text; None if nothing did."""
    for first in range(0, count, EXAMINED_EVERY):
        inputs = [attack.next_input() for _ in range(min(EXAMINED_EVERY, count - first))]
        found = await _throw_all(attack, inputs)
        if found is not None:
            return found
        try:
            await health.examine(attack.descriptors)
        except (AssertionError, OSError, trio.TooSlowError) as error:
            return f"after inputs {first} to {first + len(inputs)}: {error!r}"
    return None


async def _throw_all(attack, inputs):
    """Throw them all, in their order but not one by one; the first finding as text."""
    found = []
    waiting = iter(inputs)

    async def throw_some(cancel_scope):
        for data in waiting:
            try:
                await attack.throw(data)
            except Exception as error:  # noqa: BLE001  whatever it is, the input is the finding
                found.append(f"{error!r} from input {data!r}")
                cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for _ in range(AT_A_TIME):
            nursery.start_soon(throw_some, nursery.cancel_scope)
    return found[0] if found else None
