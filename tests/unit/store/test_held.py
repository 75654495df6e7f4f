"""Claims hold atoms: two owners of one are impossible, one owner may hold one for several slots."""

import sqlite3

import pytest

from gpupass.errors import Refused
from gpupass.model.mark import Claim
from gpupass.store import Store, database, marks
from tests.simulated import GPU, GPU_AUDIO, LONE

GROUP = "group:11"
UUID = "c8b0e2d5-8f1c-4f0e-9d64-0a1b2c3d4e5f"


def claim(carrier, domain="vm1", *more, part=""):
    own = f"mdev:{part}" if part else f"function:{carrier}"
    return Claim(carrier=carrier, part=part, domain=domain, uuid=f"{domain}-uuid", atoms=(own, *more))


def rows(store, table="owned"):
    with store.reading() as found:
        return found.rows(table)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "state")


def test_a_claim_holds_and_its_end_frees(store):
    marks.set_mark(store, claim(LONE))
    assert rows(store) == [(f"function:{LONE}", "vm1-uuid")]
    assert rows(store, "held") == [(LONE, f"function:{LONE}", "vm1-uuid")]
    marks.forget(store, claim(LONE).key)
    assert rows(store) == rows(store, "held") == []
    store.require_sound()


def test_a_second_owner_is_refused_with_the_name_of_the_first(store):
    marks.set_mark(store, claim(GPU, "vm1", GROUP))
    with pytest.raises(Refused) as error:
        marks.set_marks(store, (claim(LONE, "vm2"), claim(GPU_AUDIO, "vm2", GROUP)))
    assert error.value.message == f"cannot give {GPU_AUDIO} to vm2: vm1 has IOMMU group 11"
    assert marks.read_marks(store) == (claim(GPU, "vm1", GROUP),), "nothing of the commit is left"
    assert [owner for _, owner in rows(store)] == ["vm1-uuid"] * 2


def test_one_owner_may_hold_a_group_for_several_functions(store):
    both = claim(GPU, "vm1", GROUP), claim(GPU_AUDIO, "vm1", GROUP)
    marks.set_marks(store, both)
    for first, other in (both, both[::-1]):
        marks.forget(store, first.key)
        with pytest.raises(Refused, match="vm1 has IOMMU group 11"):
            marks.set_mark(store, claim(LONE, "vm2", GROUP))
        marks.set_mark(store, first)
        assert other in marks.read_marks(store)
    marks.forget(store, *(one.key for one in both))
    marks.set_mark(store, claim(LONE, "vm2", GROUP))


def test_the_same_slot_goes_from_one_to_the_next(store):
    """Its next claim takes the place of the last one."""
    for domain in ("vm1", "vm2", "vm1"):
        marks.set_mark(store, claim("mtty", domain, part=UUID))
        assert rows(store) == [(f"mdev:{UUID}", f"{domain}-uuid")]


def test_what_is_put_back_is_never_refused(store):
    """A rollback must not end half way: the claim is back, and the other owner keeps what it has."""
    mine = claim(GPU, "vm1", GROUP)
    marks.set_mark(store, claim(GPU_AUDIO, "vm2", GROUP))
    with store.writing() as commit:
        marks.put_back(
            commit,
            [
                [
                    *mine.key,
                    f'{{"mark":"claim","carrier":"{GPU}","domain":"vm1","uuid":"u","atoms":["{GROUP}","function:{GPU}"]}}',
                ]
            ],
        )
    assert len(marks.read_marks(store)) == 2
    assert dict(rows(store)) == {
        GROUP: "vm2-uuid",
        f"function:{GPU}": "u",
        f"function:{GPU_AUDIO}": "vm2-uuid",
    }
    store.require_sound()


def test_the_database_itself_refuses_a_second_owner(store):
    marks.set_mark(store, claim(GPU))
    with store.writing() as commit, pytest.raises(sqlite3.IntegrityError):
        commit.add("owned", f"function:{GPU}", "vm2-uuid")
    with store.writing() as commit, pytest.raises(sqlite3.IntegrityError):
        commit.add("held", LONE, f"function:{GPU}", "vm2-uuid")


def test_a_store_of_the_version_before_is_filled_from_its_claims(store, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(database, "MIGRATIONS", database.MIGRATIONS[:1])
        before.setattr("gpupass.store.held.follow", lambda *_, **__: None)
        old = Store(store.state)
        plain = (
            Claim(carrier=GPU, domain="vm1", uuid="1"),
            Claim(carrier="mtty", part=UUID, domain="vm2", uuid="2"),
        )
        marks.set_marks(old, plain)
        assert rows(old) == []
        old.close()
    assert set(marks.read_marks(store)) == set(plain)
    assert dict(rows(store)) == {f"function:{GPU}": "1", f"mdev:{UUID}": "2"}, "as it is read"
    with pytest.raises(Refused, match="vm1 has "):
        marks.set_mark(store, claim(LONE, "vm3", f"function:{GPU}"))
    marks.set_mark(store, claim(LONE))
    assert dict(rows(store)) == {f"function:{GPU}": "1", f"mdev:{UUID}": "2", f"function:{LONE}": "vm1-uuid"}
    store.require_sound()
