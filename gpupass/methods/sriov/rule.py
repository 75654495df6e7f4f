"""What a profile may ask of virtual functions."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from msgspec import Struct

from gpupass.model.key import Key
from gpupass.model.profile import DRIVER, DRIVER_FORM, Rule, Said


class VfDriver(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The driver of one virtual function, numbered from 0; None: left without one."""

    index: Annotated[int, Key("number of the VF", minimum=0)]
    driver: Annotated[str | None, Key("its driver", pattern=DRIVER, form=DRIVER_FORM)]


_Quantum = Annotated[
    int | None,
    Key(
        "milliseconds of GPU time in one turn (Intel); 0: no limit",
        spelled="execution-quantum",
        minimum=0,
        also=("exec-quantum", "exec_quantum_ms", "execution_quantum"),
    ),
]


_Timeout = Annotated[
    int | None,
    Key(
        "microseconds until work that does not yield is stopped (Intel); 0: no limit",
        spelled="preemption-timeout",
        minimum=0,
        also=("preempt-timeout", "preempt_timeout_us", "preemption_timeout"),
    ),
]


_Memory = Annotated[
    int | None,
    Key(
        "MiB of GPU memory (Intel cards with their own); without it they share evenly",
        minimum=1,
        also=("lmem", "vram", "lmem_quota", "vram_quota"),
    ),
]


class Turn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the physical function itself has the GPU, beside its virtual functions."""

    quantum: _Quantum = None
    timeout: _Timeout = None


class Share(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one virtual function gets of the GPU."""

    quantum: _Quantum = None
    timeout: _Timeout = None
    memory: _Memory = None


class VfShare(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The share of one virtual function, numbered from 0; what it does not say is as for all."""

    index: Annotated[int, Key("number of the VF", minimum=0)]
    share: Annotated[Share, Key("its share", minimum=1)]


class Vf(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the virtual functions are driven, and what each gets of the GPU."""

    driver: Annotated[
        str | None, Key("driver of every VF; none: left without one", pattern=DRIVER, form=DRIVER_FORM)
    ] = None
    autoprobe: Annotated[bool, Key("let the kernel bind new VFs to their host driver first")] = False
    drivers: Annotated[
        tuple[VfDriver, ...], Key("drivers of single VFs, by number: {2: igbvf, 3: null}", mapping=True)
    ] = ()
    quantum: _Quantum = None
    timeout: _Timeout = None
    memory: _Memory = None
    shares: Annotated[
        tuple[VfShare, ...], Key("other shares for single VFs, by number: {2: {memory: 4096}}", mapping=True)
    ] = ()


class SriovRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`use: sriov`: virtual functions of the device can be given to domains, as NAME/vf0, NAME/vf1, …"""

    use: ClassVar[str] = "sriov"

    vfs: Annotated[
        int, Key("how many virtual functions", minimum=0, also=("vf-count", "num-vfs", "sriov-numvfs"))
    ]
    vf: Annotated[Vf, Key("how they are driven, and what each gets of the GPU")] = Vf()
    pf: Annotated[Turn, Key("what the physical function keeps for itself (Intel)")] = Turn()

    driven: bool = True  # False: asked by another way, whoever drives them

    @classmethod
    def why_not_lent(cls, rule: Said, part: str) -> str:
        name, vfs = rule.get("name"), rule.get("vfs")
        if not part:
            return f"'{name}' says use: sriov, only its virtual functions can: {name}/vf0"
        number = part.removeprefix("vf")
        if number == part or not number.isdecimal():
            return f"'{name}' says use: sriov, and has vf0, vf1, …"
        return _vfs_of(rule) if vfs is not None and int(number) >= vfs else ""

    @classmethod
    def mistakes(cls, rule: Said) -> Iterator[tuple[Said, str]]:
        vfs, vf = rule.get("vfs"), rule.get("vf")
        for key in ("drivers", "shares"):
            for entry in vf.parts(key) if vf is not None else ():
                index = entry.get("index")
                if vfs is not None and index is not None and index >= vfs:
                    yield entry, f"{key}: there is no VF {index}: {_vfs_of(rule)}"


def _vfs_of(rule: Said) -> str:
    vfs = rule.get("vfs")
    return f"vfs: {vfs} makes vf0 to vf{vfs - 1}" if vfs else "vfs: 0 makes none"
