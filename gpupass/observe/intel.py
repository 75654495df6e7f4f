"""The shares of an Intel GPU's functions, from whichever interface its driver has.

Sources: Documentation/ABI/testing/sysfs-driver-intel-xe-sriov (from 6.19; memory from 7.0),
drivers/gpu/drm/xe/xe_gt_sriov_pf_debugfs.c; for i915 the tree of its SR-IOV module (prelim_iov, before: iov).
"""

import re
from collections.abc import Callable, Iterator
from itertools import takewhile

from msgspec import Struct

from gpupass.model.address import Address, sysfs
from gpupass.model.intel import FUNCTION, Intel, Knob
from gpupass.observe.number import number
from gpupass.system import Reader

_QUANTUM, _TIMEOUT = "exec_quantum_ms", "preempt_timeout_us"


class Interface(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One interface: directories with `{function}` in them, one for each GT, and its word for memory."""

    directories: tuple[str, ...]
    memory: str


def read_intel(system: Reader, address: Address, total_vfs: int) -> Intel | None:
    """None: none of the interfaces is there. Each setting is taken from the first that has it."""
    places = tuple(places_of(system, address))
    if not places:
        return None
    auto = _auto_file(system, address)

    def knob(name: Callable[[Interface], str], shared: bool = False) -> Knob | None:
        return next((k for p in places if (k := _knob(system, p, name(p), total_vfs, shared))), None)

    return Intel(
        quantum=knob(lambda place: _QUANTUM),
        timeout=knob(lambda place: _TIMEOUT),
        memory=knob(lambda place: place.memory, shared=True),
        auto_file=auto,
        auto=system.read(auto) == "1" if auto is not None else None,
    )


def places_of(system: Reader, address: Address) -> Iterator[Interface]:
    device = sysfs(address)
    if system.exists(f"{device}/sriov_admin/pf"):
        yield Interface(directories=(f"{device}/sriov_admin/{FUNCTION}/profile",), memory="vram_quota")
    debug = f"/sys/kernel/debug/dri/{address}"
    gts = tuple(f"{debug}/{name}" for name in _gts(system, debug) if system.exists(f"{debug}/{name}/pf"))
    if gts:
        yield Interface(directories=tuple(f"{gt}/{FUNCTION}" for gt in gts), memory="lmem_quota")
    iov = _iov(system, address)
    if iov is not None:
        names = _gts(system, f"{iov}/pf")
        yield Interface(directories=tuple(f"{iov}/{FUNCTION}/{name}" for name in names), memory="lmem_quota")


def files_of(system: Reader, address: Address, total_vfs: int) -> Iterator[str]:
    """Every file that `read_intel` may read, for a record."""
    for place in places_of(system, address):
        for name in (_QUANTUM, _TIMEOUT, place.memory):
            knob = Knob(paths=tuple(f"{directory}/{name}" for directory in place.directories))
            for vf in (None, *range(total_vfs)):
                yield from knob.files(vf)
    auto = _auto_file(system, address)
    if auto is not None:
        yield auto


def _iov(system: Reader, address: Address) -> str | None:
    drm = sysfs(address, "drm")
    cards = (name for name in system.names(drm) if name.startswith("card"))
    found = (f"{drm}/{card}/{name}" for card in cards for name in ("prelim_iov", "iov"))
    return next((path for path in found if system.exists(f"{path}/pf")), None)


def _auto_file(system: Reader, address: Address) -> str | None:
    iov = _iov(system, address)
    path = f"{iov}/pf/auto_provisioning"
    return path if iov is not None and system.exists(path) else None


def _gts(system: Reader, directory: str) -> tuple[str, ...]:
    return tuple(name for name in system.names(directory) if re.fullmatch(r"gt\d*", name))


def _knob(system: Reader, place: Interface, name: str, total_vfs: int, shared: bool) -> Knob | None:
    """Memory is shared among those GTs that have any; the time slice is each GT's own."""
    probe = Knob(paths=tuple(f"{directory}/{name}" for directory in place.directories))
    paths = tuple(
        path
        for path, file in zip(probe.paths, probe.files(0), strict=True)
        if total_vfs and system.exists(file)
    )
    if not paths:
        return None
    knob = Knob(paths=paths)
    parts = len(paths) if shared else 1

    def texts(vf: int | None) -> set[str | None]:
        return {system.read(file) for file in knob.files(vf)}

    def value(told: set[str | None]) -> int | None:
        text = told.pop() or ""
        found = number(text) if not told else None
        return None if found is None else found * parts

    # the kernel has all that there can be: after the first that is not there no more are asked for
    there = takewhile(lambda told: told != {None}, map(texts, range(total_vfs)))
    known = tuple(value(told) for told in there)
    return Knob(paths=paths, pf=value(texts(None)), vfs=(*known, *((None,) * (total_vfs - len(known)))))
