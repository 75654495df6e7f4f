"""Virtual functions under GIM, AMD's SR-IOV host driver: their number is an option of the module; pure.

GIM has no sriov_configure, so sriov_numvfs is refused: `modprobe gim vf_num=N0,N1,…`, one number for each
GPU in the order of their addresses. Other numbers need the module loaded anew, with every GPU it has. How
many fit, and the memory mode that goes with it: release notes of GIM 8.5.0.K and 9.
"""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from gpupass.methods import sriov
from gpupass.methods.intel import missing_files
from gpupass.model.address import sysfs
from gpupass.model.amd import GIM_COUNTS, GIM_OPTIONS
from gpupass.model.host import Device, Host, Sriov
from gpupass.model.profile import Rule, SriovRule
from gpupass.model.record import Record, RecordKind
from gpupass.plan import Disruption, Finding, Plan
from gpupass.step import Deed
from gpupass.steps.attribute import SetAttribute
from gpupass.steps.file import WriteFile
from gpupass.steps.module import ReloadModule
from gpupass.steps.record import WriteRecord

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
    """Its virtual functions are gpupass's, by record or by the file of every boot; or the one that GIM makes
    unasked, which is nobody's.
    """
    facts, gim = pf.facts.sriov, pf.facts.gim
    if pf.driver != MODULE or facts is None:
        return False
    counts = gim.counts if gim is not None else ()
    told = dict(zip((gpu.address for gpu in gims(host)), counts, strict=False))
    ours = sriov.made_by_us(host, pf) is not None or told.get(pf.address) == facts.enabled
    return ours or facts.enabled <= _LEAST


def cut(host: Host, pf: Device, rule: SriovRule) -> Plan:
    """As many VFs as the rule says, in the memory mode that they need."""
    why_not = sriov.supports(pf)
    if why_not is not None:
        finding = Finding(message=why_not, remedy=f"gpupass show {pf.address}")
        return Plan(title=f"cut {pf.address}", findings=(finding,))
    plan = _plan(host, pf, rule.vfs, rule.vf.autoprobe, rule.take_over)
    return replace(plan, findings=(*plan.findings, *missing_files(pf, None, rule)))


def uncut(host: Host, pf: Device, rule: Rule) -> Plan:
    """One VF, GIM's least, where gpupass made more."""
    facts = pf.facts.sriov
    leave = not free_to_change(host, pf) and not rule.take_over
    if facts is None or facts.enabled <= _LEAST or leave:
        return Plan(title=f"uncut {pf.address}")
    return _plan(host, pf, _LEAST, sriov.autoprobe_before(host, pf), rule.take_over)


def _plan(host: Host, pf: Device, count: int, autoprobe: bool, take_over: bool) -> Plan:
    title = f"have {count} virtual functions of {pf.address}"
    facts = pf.facts.sriov or Sriov(total=0, enabled=0, autoprobe=True)
    board = _BOARDS.get(pf.device)
    memory = board.memory_by_vfs.get(count) if board is not None else None
    gim = pf.facts.gim
    findings = list(_fits(pf, facts, board, count))
    steps: list[Deed] = []
    disruptions: list[Disruption] = []
    gpus: tuple[Device, ...] = (pf,)
    if facts.enabled != count and not findings:
        gpus = gims(host)
        findings += _foreign(host, pf, take_over)
        findings += (f for gpu in gpus for f in sriov.in_use(gpu, vfs_of(host, gpu)))
        disruptions += _losses(pf, gpus)
        steps += _reload(host, pf, gpus, count, autoprobe)
    if memory is not None and gim is not None and gim.memory not in (None, memory):
        path = sysfs(pf.address, "memory_partition_mode")
        why = f"{count} virtual functions go with {memory}, it has {gim.memory}"
        steps.append(SetAttribute(address=pf.address, path=path, value=memory, why=why))
    return Plan(
        title=title,
        steps=tuple(steps),
        findings=tuple(findings),
        devices=tuple(d.address for gpu in gpus for d in (gpu, *vfs_of(host, gpu))),
        disruptions=tuple(disruptions),
    )


def _reload(host: Host, pf: Device, gpus: tuple[Device, ...], count: int, autoprobe: bool) -> Iterator[Deed]:
    """The module first and its file then: on the way back the file must be the old one when it is loaded."""
    facts = pf.facts.sriov
    record = sriov.made_by_us(host, pf)
    made = Record(
        kind=RecordKind.VFS,
        address=pf.address,
        vfs=count,
        autoprobe=record.autoprobe if record is not None else facts is None or facts.autoprobe,
        boot_id=host.boot_id,
    )
    if record is None or record.vfs != count:
        why = "so that they are known as gpupass's"
        yield WriteRecord(kind=RecordKind.VFS, address=pf.address, record=made, why=why)
    for gpu in gpus:
        yield from sriov.forget(host, vfs_of(host, gpu))
    if facts is not None and facts.autoprobe != autoprobe:
        path = sysfs(pf.address, "sriov_drivers_autoprobe")
        yield SetAttribute(
            address=pf.address, path=path, value=str(int(autoprobe)), why="before its VFs are there"
        )
    now = [_count(gpu) for gpu in gpus]
    wanted = [count if gpu == pf else _count(gpu) for gpu in gpus]
    yield ReloadModule(
        module=MODULE,
        options=_options(wanted),
        back=_options(now),
        addresses=tuple(gpu.address for gpu in gpus),
        why=f"{pf.address} has {_count(pf)}; GIM takes their number when it is loaded only",
    )
    yield WriteFile(path=GIM_OPTIONS, text=_text(wanted), why="for the next boot")


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


def vfs_of(host: Host, gpu: Device) -> tuple[Device, ...]:
    return host.devices_at(gpu.facts.sriov.vfs) if gpu.facts.sriov is not None else ()


def _fits(pf: Device, facts: Sriov, board: Board | None, count: int) -> Iterator[Finding]:
    if not _LEAST <= count <= min(_MOST, facts.total or _MOST):
        yield Finding(
            message=f"GIM makes {_LEAST} to {min(_MOST, facts.total or _MOST)} virtual functions of "
            f"{pf.address}, not {count}",
            remedy="vfs: 1; to have none: unload gim",
        )
    elif board is not None and count not in board.memory_by_vfs:
        known = [str(number) for number in board.memory_by_vfs]
        yield Finding(
            message=f"{board.name} ({pf.address}) can be split for {' or '.join(known)} virtual functions, "
            f"not {count}",
            remedy=f"vfs: {known[-1]}",
        )


def _foreign(host: Host, pf: Device, take_over: bool) -> Iterator[Finding]:
    if not free_to_change(host, pf) and not take_over:
        yield sriov.foreign(pf, "another number of them")


def _losses(pf: Device, gpus: tuple[Device, ...]) -> Iterator[Disruption]:
    for gpu in gpus:
        count = _count(gpu)
        loses = "its virtual function" if count == 1 else f"all {count} virtual functions"
        yield Disruption(victim=gpu.address, loses=f"{loses}, made anew", at_work=gpu != pf)
