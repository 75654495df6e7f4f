"""What a System keeps open: each once, until it is closed."""

from threading import Barrier, Thread

from gpupass.system import System
from gpupass.system.kept import Kept


class Open:
    def __init__(self, ended, name):
        self.ended, self.name = ended, name

    def close(self):
        self.ended.append(self.name)
        if self.name == "fails":
            raise OSError


def test_each_is_made_once_whichever_thread_asks_first():
    kept, start, found = Kept(), Barrier(8), []

    def ask():
        start.wait(20)
        found.append(kept.one("a", lambda: Open([], "a")))

    threads = [Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 8 and len(set(map(id, found))) == 1


def test_what_was_opened_last_is_closed_first_and_one_that_fails_keeps_no_other_open():
    kept, ended = Kept(), []
    for name in ("a", "fails", "b"):
        kept.one(name, lambda name=name: Open(ended, name))
    try:
        kept.close()
    except OSError:
        ended.append("told")
    assert ended == ["b", "fails", "a", "told"]
    kept.close()
    assert len(ended) == 4, "once"


def test_two_systems_share_nothing(tmp_path):
    one, other = System(tmp_path / "1"), System(tmp_path / "2")
    assert one.nvml is one.nvml is not other.nvml
    before = one.nvml
    one.close()
    assert one.nvml is not before
