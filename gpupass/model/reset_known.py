"""GPUs that are known not to come back from a reset, whatever the kernel lists as their methods; values only.

Sources: ids and families of gnif/vendor-reset (src/device-db.h); amd/MxGPU-Virtualization issue 25.
"""

from collections.abc import Mapping

from msgspec import Struct

AMD = 0x1002
_MODULE = "load the module vendor-reset and choose device_specific in reset_method"


class Trouble(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What comes of it, and what helps; `cured` is a reset method that is not subject to it."""

    family: str
    what: str
    remedy: str
    cured: str = ""


def _family(name: str) -> Trouble:
    return Trouble(
        family=name,
        what="often does not come back from a reset after its first guest, until the host reboots",
        remedy=_MODULE,
        cured="device_specific",
    )


_INSTINCT = Trouble(
    family="Instinct MI300X, MI355X",
    what="reads all ones for ever after a VFIO reset of the physical function, until the host reboots",
    remedy="give out virtual functions: use: sriov under AMD's GIM",
)
_FAMILIES: Mapping[str, tuple[int, ...]] = {
    "Polaris 10": (
        *(0x67C0, 0x67C1, 0x67C2, 0x67C4, 0x67C7, 0x67C8, 0x67C9, 0x67CA, 0x67CC, 0x67CF, 0x67D0, 0x67DF),
        0x6FDF,
    ),
    "Polaris 11": (0x67E0, 0x67E1, 0x67E3, 0x67E7, 0x67E8, 0x67E9, 0x67EB, 0x67EF, 0x67FF),
    "Polaris 12": (0x6980, 0x6981, 0x6985, 0x6986, 0x6987, 0x6995, 0x6997, 0x699F),
    "Vega 10": (*range(0x6860, 0x6865), 0x6867, 0x6868, 0x6869, *range(0x686A, 0x6870), 0x687F),
    "Vega 20": (*range(0x66A0, 0x66A5), 0x66A7, 0x66AF),
    "Navi 10": (0x7310, 0x7312, 0x7318, 0x7319, 0x731A, 0x731B, 0x731E, 0x731F),
    "Navi 12": (0x7360, 0x7362),
    "Navi 14": (0x7340, 0x7341, 0x7347, 0x734F),
    "Navi 23": (0x73FF,),
    "Arcturus": (0x738C,),
}
TROUBLES: Mapping[tuple[int, int], Trouble] = {
    (AMD, device): _family(name) for name, devices in _FAMILIES.items() for device in devices
} | {(AMD, device): _INSTINCT for device in (0x74A1, 0x75A3)}
