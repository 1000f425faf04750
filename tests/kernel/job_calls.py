"""What the tests of the queue and of its runner both do to a world, in one line each."""

from mnemos.kernel.canonical import microseconds
from mnemos.kernel.governance.system import SYSTEM
from mnemos.kernel.upkeep import jobs
from mnemos.kernel.upkeep.runner import Runner

DAY = 86_400


def now(world):
    return microseconds(world.clock.now())


def ask(world, kind="work", *, due=0, cause=0, subject=0, **payload):
    with world.store.write(SYSTEM) as tx:
        return jobs.enqueue(
            tx, "t", kind, due=now(world) + due, cause=cause, subject=subject, payload=payload
        )


def claim(world, **options):
    return jobs.claim(world.store, world.clock, "t", **options)


def change(world, verb, *args, **options):
    with world.store.write(SYSTEM) as tx:
        return verb(tx, *args, **options)


def listed(world, state=None):
    with world.store.read(SYSTEM) as tx:
        return jobs.list_jobs(tx, "t", state)


def runner(world, mode="off", **handlers):
    return Runner(world.vault, "t", handlers, mode=mode)
