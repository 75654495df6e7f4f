"""One bit of a store with an open operation is another one: refused, or it makes no difference.

A seeded sample; GPUPASS_FLIPS=810 for as many of every file.
"""

import os
import random
import sys
from contextlib import closing

import msgspec
import pytest

from gpupass.engine import journal
from gpupass.errors import Damaged, Refused
from gpupass.store import Store, store_of
from gpupass.store.applies import read_applies
from gpupass.store.marks import read_marks
from tests.crash.test_profiles import GIVEN, SMALL, TAKEN, apply_it
from tests.simulated import Machine

FILES = ("store.db", "store.db-wal", "store.db-shm", "head")
COUNT = int(os.environ.get("GPUPASS_FLIPS", "25"))


def read_all(store):
    return msgspec.to_builtins(
        (
            journal.open_operations(store),
            journal.ended_operations(store),
            read_marks(store),
            read_applies(store),
        )
    )


def asked(state, *questions):
    """The answer to the first one, or the error that any of them comes to."""
    with closing(Store(state)) as store:
        try:
            answers = [ask(store) for ask in questions]
            return answers[0]
        except (Damaged, Refused) as error:
            return type(error).__name__


@pytest.fixture
def cut_short(hidden, new_state, killed_at_every_line):
    """Killed in the middle of an apply: its last commits are in the WAL, or `merged` into the database."""

    def make(merged):
        machine = Machine(new_state(), SMALL)
        machine.register_driver("igbvf")
        apply_it(GIVEN)(machine)
        left = list(killed_at_every_line(machine, apply_it(TAKEN)).values())
        killed = next(one for one in left[len(left) // 2 :] if one.open_journals())
        store_of(killed).close()
        with closing(Store(killed.state)) as store:
            with store.writing():  # the head has heard of all of it
                pass
            if not merged:
                return read(killed.state)
        return read(killed.state)

    return make


def read(state):
    return {name: (state / name).read_bytes() for name in FILES if (state / name).exists()}


def laid(files, state):
    for path in state.iterdir():
        path.unlink()
    for name, data in files.items():
        (state / name).write_bytes(data)
        (state / name).chmod(0o600)


@pytest.mark.parametrize("merged", [False, True], ids=["in the WAL", "in the database"])
def test_no_flipped_bit_is_believed(merged, cut_short, new_state, capsys):
    files, state = cut_short(merged), new_state()
    state.mkdir(mode=0o700)
    assert files.keys() == ({"store.db", "head"} if merged else set(FILES))
    laid(files, state)
    sound = asked(state, read_all, Store.require_sound)
    assert sound[0], "nothing is open"
    for file in files:
        chance, refused = random.Random(f"{file} {merged}"), 0
        for _ in range(COUNT):
            place = chance.randrange(8 * len(files[file]))
            data = bytearray(files[file])
            data[place // 8] ^= 1 << place % 8
            laid(files | {file: bytes(data)}, state)
            to_read = asked(state, read_all)
            laid(files | {file: bytes(data)}, state)
            to_change = asked(state, read_all, Store.require_sound)
            refused += to_change in ("Damaged", "Refused")
            for found in (to_read, to_change):
                assert found in (sound, "Damaged", "Refused"), f"bit {place} of {file}"
        with capsys.disabled():
            sys.stdout.write(f"\n{file}: {COUNT} flipped bits, {refused} refused, none believed")
