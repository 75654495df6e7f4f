"""Virtual functions under GIM, AMD's SR-IOV host driver: their number is an option of the module; pure.

GIM has no sriov_configure, so sriov_numvfs is refused: `modprobe gim vf_num=N0,N1,…`, one number for each
GPU in the order of their addresses. Other numbers need the module loaded anew, with every GPU it has. How
many fit, and the memory mode that goes with it: release notes of GIM 8.5.0.K and 9.
"""

from collections.abc import Iterator

from msgspec import Struct

from gpupass.methods.sriov import making
from gpupass.methods.sriov.intel import missing_files
from gpupass.methods.sriov.marks import autoprobe_before, made_by_us, remembered
from gpupass.methods.sriov.steps import ReloadModule, SetMemoryMode, SetShare
from gpupass.model.address import Address, sysfs
from gpupass.model.amd import GIM_COUNTS, GIM_OPTIONS
from gpupass.model.host import Device, Host
from gpupass.model.profile import Rule
from gpupass.plan import NOTHING, Disruption, Draft, Finding
from gpupass.step import Deed
from gpupass.steps.file import WriteFile

MODULE = "gim"
_LEAST, _MOST = 1, 31  # gim_config.c


class Board(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers of VFs → the memory mode each needs; None: any."""

    name: str
    memory_by_vfs: dict[int, str | None]


_BOARDS = {
    0x74A1: Board(name="MI300X", memory_by_vfs={1: None, 8: "NPS4"}),
    0x74A5: Board(name="MI325X", memory_by_vfs={1: None}),
    0x75A0: Board(name="MI350X", memory_by_vfs={1: None, 2: "NPS2", 8: "NPS2"}),
    0x75A3: Board(name="MI355X", memory_by_vfs={1: None, 2: "NPS2", 8: "NPS2"}),
    0x740F: Board(name="MI210", memory_by_vfs={1: None}),
    0x7460: Board(name="V710", memory_by_vfs={1: None, 4: None, 12: None}),
}


def gims(host: Host) -> tuple[Device, ...]:
    """Every GPU of the module, in the order of its options."""
    return tuple(device for device in host.devices if device.driver == MODULE and device.physfn is None)


def free_to_change(host: Host, pf: Device) -> bool:
    """Its virtual functions are gpupass's, by mark or by the file of every boot; or the one that GIM makes
    unasked, which is nobody's.
    """
    facts, gim = pf.facts.sriov, pf.facts.gim
    if pf.driver != MODULE or facts is None:
        return False
    counts = gim.counts if gim is not None else ()
    told = dict(zip((gpu.address for gpu in gims(host)), counts, strict=False))
    ours = made_by_us(host, pf) is not None or told.get(pf.address) == facts.enabled
    return ours or facts.enabled <= _LEAST


def wish_of(host: Host, pf: Device, rules: tuple[Rule, ...]) -> making.Wish | None:
    """One VF is GIM's least; None: it stays as it is."""
    wish = making.wish_of(host, pf, rules, _LEAST)
    if wish is None and rules and free_to_change(host, pf) and _enabled(pf) > _LEAST:
        return making.Wish(pf=pf, count=_LEAST, autoprobe=autoprobe_before(host, pf), take_over=False)
    return wish


def draft_of(host: Host, wishes: list[making.Wish]) -> Draft:
    """All numbers in one loading of the module, in the memory mode that each needs."""
    draft = NOTHING
    moving: list[making.Wish] = []
    for wish in wishes:
        findings = (*_fits(wish), *(missing_files(wish.pf, None, wish.rule) if wish.rule is not None else ()))
        draft += Draft(findings=tuple(findings), devices=(wish.pf.address, *_addresses(host, wish.pf)))
        if not findings:
            moving += [wish] if _enabled(wish.pf) != wish.count else []
            draft += Draft(makes=tuple(_memory(wish)))
    return draft + (_reload(host, moving) if moving else NOTHING)


def _memory(wish: making.Wish) -> Iterator[Deed]:
    pf, gim, board = wish.pf, wish.pf.facts.gim, _BOARDS.get(wish.pf.device)
    memory = board.memory_by_vfs.get(wish.count) if board is not None else None
    if memory is not None and gim is not None and gim.memory not in (None, memory):
        path = sysfs(pf.address, "memory_partition_mode")
        why = f"{wish.count} virtual functions go with {memory}, it has {gim.memory}"
        yield SetMemoryMode(address=pf.address, path=path, value=memory, why=why)


def _reload(host: Host, moving: list[making.Wish]) -> Draft:
    gpus = gims(host)
    counts = {wish.pf.address: wish.count for wish in moving}
    now = [_count(gpu) for gpu in gpus]
    wanted = [counts.get(gpu.address, _count(gpu)) for gpu in gpus]
    others = [f"{wish.pf.address} has {_count(wish.pf)}" for wish in moving]
    reload = ReloadModule(
        module=MODULE,
        options=_options(wanted),
        back=_options(now),
        addresses=tuple(gpu.address for gpu in gpus),
        marks=tuple(
            mark
            for wish in moving
            if (mark := remembered(host, wish.pf, wish.count)) != made_by_us(host, wish.pf)
        ),
        forgets=making.forgotten(host, (vf for gpu in gpus for vf in making.vfs_of(host, gpu))),
        why=f"{', '.join(others)}; GIM takes their number when it is loaded only",
    )
    return Draft(
        makes=(
            *(step for wish in moving for step in _autoprobe(wish)),
            reload,
            WriteFile(path=GIM_OPTIONS, text=_text(wanted), why="for the next boot"),
        ),
        findings=(
            *(finding for wish in moving for finding in _foreign(host, wish)),
            *(f for gpu in gpus for f in making.in_use(gpu, making.vfs_of(host, gpu))),
        ),
        losses=tuple(_losses({wish.pf.address for wish in moving}, gpus)),
        devices=tuple(address for gpu in gpus for address in (gpu.address, *_addresses(host, gpu))),
    )


def _autoprobe(wish: making.Wish) -> Iterator[Deed]:
    facts = wish.pf.facts.sriov
    if facts is not None and facts.autoprobe != wish.autoprobe:
        path = sysfs(wish.pf.address, "sriov_drivers_autoprobe")
        value = str(int(wish.autoprobe))
        yield SetShare(address=wish.pf.address, path=path, value=value, why="before its VFs are there")


def _addresses(host: Host, gpu: Device) -> tuple[Address, ...]:
    return tuple(vf.address for vf in making.vfs_of(host, gpu))


def _enabled(pf: Device) -> int:
    return pf.facts.sriov.enabled if pf.facts.sriov is not None else 0


def _count(gpu: Device) -> int:
    """GIM has at least one on each, whatever sysfs says while it starts."""
    return max(gpu.facts.sriov.enabled if gpu.facts.sriov is not None else 0, _LEAST)


def _options(counts: list[int]) -> str:
    return f"{GIM_COUNTS}={','.join(map(str, counts))}"


def _text(counts: list[int]) -> str:
    return (
        "# Written by gpupass; one number for each GPU of GIM, in the order of addresses.\n"
        f"options {MODULE} {_options(counts)}\n"
    )


def _fits(wish: making.Wish) -> Iterator[Finding]:
    pf, count, board = wish.pf, wish.count, _BOARDS.get(wish.pf.device)
    most = min(_MOST, (pf.facts.sriov.total if pf.facts.sriov is not None else 0) or _MOST)
    if not _LEAST <= count <= most:
        yield Finding(
            message=f"GIM makes {_LEAST} to {most} virtual functions of {pf.address}, not {count}",
            remedy="vfs: 1; to have none: unload gim",
        )
    elif board is not None and count not in board.memory_by_vfs:
        known = [str(number) for number in board.memory_by_vfs]
        yield Finding(
            message=f"{board.name} ({pf.address}) can be split for {' or '.join(known)} virtual functions, "
            f"not {count}",
            remedy=f"vfs: {known[-1]}",
        )


def _foreign(host: Host, wish: making.Wish) -> Iterator[Finding]:
    if not free_to_change(host, wish.pf) and not wish.take_over:
        yield making.foreign_functions(wish.pf, "another number of them")


def _losses(moving: set[Address], gpus: tuple[Device, ...]) -> Iterator[Disruption]:
    for gpu in gpus:
        count = _count(gpu)
        loses = "its virtual function" if count == 1 else f"all {count} virtual functions"
        at_work = gpu.address not in moving
        yield Disruption(victim=gpu.address, loses=f"{loses}, made anew", at_work=at_work)
