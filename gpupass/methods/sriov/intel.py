"""Virtual functions of Intel GPUs: how long each has the GPU and how much of its memory; pure.

The order is that of Intel's xpu-smi: the PF's turn, the VFs' turns and memory, and only then the VFs. With
VFs on, turns can still be changed, memory cannot; a VF that goes takes its share with it.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from gpupass.methods.sriov import making
from gpupass.methods.sriov.marks import made_by_us
from gpupass.methods.sriov.rule import Share, SriovRule, Turn
from gpupass.methods.sriov.steps import SetShare
from gpupass.model.host import Device, Host
from gpupass.model.intel import Intel, Knob
from gpupass.plan import Draft, Finding
from gpupass.steps.vfs import SetVfs

_MIB = 1 << 20
_GRAIN = 2 * _MIB  # of memory (pf_get_lmem_alignment in xe_gt_sriov_pf_config.c)


def asked_for(rule: SriovRule) -> bool:
    vf = rule.vf
    return rule.pf != Turn() or bool(vf.shares) or (vf.quantum, vf.timeout, vf.memory) != (None,) * 3


def share_of(rule: SriovRule, vf: int) -> Share:
    """What VF `vf` is to get: its own words first, then those for all."""
    one = next((entry.share for entry in rule.vf.shares if entry.index == vf), Share())
    return Share(
        quantum=one.quantum if one.quantum is not None else rule.vf.quantum,
        timeout=one.timeout if one.timeout is not None else rule.vf.timeout,
        memory=one.memory if one.memory is not None else rule.vf.memory,
    )


def concerns(wish: making.Wish) -> bool:
    return wish.pf.facts.intel is not None or (wish.rule is not None and asked_for(wish.rule))


def draft_of(host: Host, wish: making.Wish) -> Draft:
    """As many VFs as the rule says, each with its share; without any nothing is set aside for them."""
    pf, intel, rule = wish.pf, wish.pf.facts.intel, wish.rule
    base = making.draft_of(host, wish)
    missing = tuple(missing_files(pf, intel, rule)) if rule is not None else ()
    if missing or base.refused or intel is None:
        return base + Draft(findings=missing)
    total = pf.facts.sriov.enabled if pf.facts.sriov is not None else 0
    shares = tuple(_wishes(intel, rule)) if rule is not None else ()
    memory_moves = any(share.of_memory and share.differs for share in shares)
    if total and memory_moves and not _makes_functions(base):
        base = making.draft_of(host, replace(wish, anew=True))
    if _makes_functions(base):
        keep = tuple(_goes_with_them(intel, total))
        base = making.draft_of(host, replace(wish, anew=bool(total)), keep)
        return base + Draft(makes=_in_turn(_set_shares(pf, intel, total, wish.count, shares)))
    steps = tuple(step for share in shares if share.differs for step in _to(pf, share))
    if steps and total and made_by_us(host, pf) is None and not wish.take_over:
        return base + Draft(findings=(making.foreign_functions(pf, "other shares for them"),))
    return base + Draft(makes=_in_turn(steps))


def _makes_functions(draft: Draft) -> bool:
    return any(isinstance(step, SetVfs) for step in draft.steps)


class _Wish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A knob of one function, and the value wanted: bytes of memory, ms or µs."""

    knob: Knob
    vf: int | None
    value: int
    of_memory: bool = False

    @property
    def differs(self) -> bool:
        return self.knob.value(self.vf) != self.value


def _wishes(intel: Intel, rule: SriovRule) -> Iterator[_Wish]:
    yield from _turn(intel, None, rule.pf.quantum, rule.pf.timeout)
    for vf in range(rule.vfs):
        share = share_of(rule, vf)
        yield from _turn(intel, vf, share.quantum, share.timeout)
        if share.memory is not None and intel.memory is not None:
            parts = len(intel.memory.paths)
            each = -(-share.memory * _MIB // parts // _GRAIN) * _GRAIN
            yield _Wish(knob=intel.memory, vf=vf, value=each * parts, of_memory=True)


def _turn(intel: Intel, vf: int | None, quantum: int | None, timeout: int | None) -> Iterator[_Wish]:
    for knob, value in ((intel.quantum, quantum), (intel.timeout, timeout)):
        if knob is not None and value is not None:
            yield _Wish(knob=knob, vf=vf, value=value)


def _to(pf: Device, wish: _Wish) -> tuple[SetShare, ...]:
    files = wish.knob.files(wish.vf)
    parts = len(files) if wish.of_memory else 1
    now = wish.knob.value(wish.vf)
    return tuple(
        SetShare(
            address=pf.address,
            path=path,
            value=str(wish.value // parts),
            why=f"it is {'not the same everywhere' if now is None else now // parts}",
        )
        for path in files
    )


def _set_shares(
    pf: Device, intel: Intel, old: int, new: int, wishes: tuple[_Wish, ...]
) -> Iterator[SetShare]:
    manual = any(wish.of_memory for wish in wishes)
    if manual and intel.auto and intel.auto_file is not None:
        yield SetShare(
            address=pf.address, path=intel.auto_file, value="0", why="memory is shared as the rule says"
        )
    wanted = {(id(wish.knob), wish.vf) for wish in wishes}
    for wish in (*wishes, *_leftovers(intel, old, new, wanted)):
        gone = wish.vf is not None and wish.vf < old  # its share may have gone with it
        if wish.differs or (gone and wish.value):
            yield from _to(pf, wish)
    if not manual and old and intel.auto is False and intel.auto_file is not None:
        yield SetShare(
            address=pf.address, path=intel.auto_file, value="1", why="no rule says how to share memory"
        )


def _in_turn(steps: Iterable[SetShare]) -> tuple[SetShare, ...]:
    return tuple(replace(step, turn=number) for number, step in enumerate(steps))


def _goes_with_them(intel: Intel, old: int) -> Iterator[str]:
    """The files of every VF; what i915 has shared by itself it will share again."""
    for knob in (intel.quantum, intel.timeout, None if intel.auto else intel.memory):
        for vf in range(old) if knob is not None else ():
            if knob is not None and knob.value(vf):
                yield from knob.files(vf)


def _leftovers(intel: Intel, old: int, new: int, wanted: set[tuple[int, int | None]]) -> Iterator[_Wish]:
    """What the VFs of before had and nobody asks for any more; xe takes it back by itself, i915 does not.

    The PF's own turn is for as long as there are VFs.
    """
    functions = (*(() if new else (None,)), *range(old))
    for knob in (intel.quantum, intel.timeout, intel.memory):
        for vf in functions if knob is not None else ():
            if knob is not None and (id(knob), vf) not in wanted and knob.value(vf):
                yield _Wish(knob=knob, vf=vf, value=0, of_memory=knob is intel.memory)


def missing_files(pf: Device, intel: Intel | None, rule: SriovRule) -> Iterator[Finding]:
    """What the rule asks for and the driver has no file for."""
    if intel == Intel() and asked_for(rule):
        yield Finding(
            message=f"the shares of {pf.address} can be set only once {pf.driver} has it",
            remedy=f"gpupass unbind {pf.address}",
        )
        return
    shares = [share_of(rule, vf) for vf in range(rule.vfs)]
    turns: list[Turn | Share] = [rule.pf, *shares]
    asked = {
        "an execution quantum": (any(t.quantum is not None for t in turns), intel and intel.quantum),
        "a preemption timeout": (any(t.timeout is not None for t in turns), intel and intel.timeout),
        "memory": (any(s.memory is not None for s in shares), intel and intel.memory),
    }
    for what, (wished, knob) in asked.items():
        if wished and knob is None:
            yield Finding(
                message=f"{pf.address} cannot give each function {what}: its driver "
                f"({pf.driver or 'none'}) has no file for it",
                remedy=_NO_MEMORY if what == "memory" else _NO_KNOBS,
            )


_NO_KNOBS = (
    "an Intel GPU with xe (kernel 6.19, or older with debugfs: mount -t debugfs none /sys/kernel/debug; "
    "root only) or with i915's SR-IOV module"
)
_NO_MEMORY = f"a card with memory of its own, and {_NO_KNOBS}; from sysfs alone with kernel 7.0"
