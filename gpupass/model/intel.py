"""What an Intel GPU's driver lets each function of the card have: time slices and memory."""

from msgspec import Struct

INTEL = ("xe", "i915")  # the drivers
FUNCTION = "{function}"  # in a Knob's paths


def function_name(vf: int | None) -> str:
    """The driver's word for a function: it counts VFs from 1, PCI's virtfnN and gpupass from 0.

    Source: Documentation/ABI/testing/sysfs-driver-intel-xe-sriov; None is the physical function.
    """
    return "pf" if vf is None else f"vf{vf + 1}"


class Knob(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One setting of every function; each of `paths` is a file with `{function}` in it.

    Several: one for each GT. A value that cannot be read, or is not the same in all GTs, is None.
    """

    paths: tuple[str, ...]
    pf: int | None = None
    vfs: tuple[int | None, ...] = ()  # by number, from 0; also of those that are not enabled

    def value(self, vf: int | None) -> int | None:
        if vf is None:
            return self.pf
        return self.vfs[vf] if vf < len(self.vfs) else None

    def files(self, vf: int | None) -> tuple[str, ...]:
        return tuple(path.replace(FUNCTION, function_name(vf)) for path in self.paths)


class Intel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None: the driver has no such file. Quantum in ms, timeout in µs: 0 is unlimited; memory in bytes."""

    quantum: Knob | None = None
    timeout: Knob | None = None
    memory: Knob | None = None
    auto_file: str | None = None  # where i915 can be told to share by itself
    auto: bool | None = None  # it does
