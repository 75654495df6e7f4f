"""Any valid profile, for hypothesis."""

from hypothesis import strategies as st

from gpupass.methods.host.rule import HostRule
from gpupass.methods.mdev.rule import MdevRule
from gpupass.methods.mig.rule import MigRule
from gpupass.methods.partition.rule import COMPUTES, MEMORIES, PartitionRule
from gpupass.methods.passthrough.rule import PassthroughRule
from gpupass.methods.sriov.rule import Share, SriovRule, Turn, Vf, VfDriver, VfShare
from gpupass.methods.vgpu.rule import VgpuParam, VgpuRule
from gpupass.model.mig import LayoutEntry
from gpupass.model.profile import DRIVER, NAME, Attachment, Profile, Rule, Select
from gpupass.model.types import TypeCount


def pattern(regex: str) -> st.SearchStrategy[str]:
    return st.from_regex(regex, fullmatch=True)


ODD = st.sampled_from(
    [
        "no",
        "y",
        "~",
        "null",
        "0x10",
        "010",
        "1:30",
        "1e5",
        ".inf",
        "2024-01-02",
        "<<",
        "=",
        "- a",
        "*a",
        "&a",
        "a: b",
        "a #b",
        "'",
        '"',
        "{",
        "!!str",
        "%",
        " a ",
        "ü",
        "日本",
        "\U0001f600",
    ]
)
TEXT = ODD | st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() and bool(text.strip()))
ADDRESS = st.builds(
    "{:04x}:{:02x}:{:02x}.{}".format,
    st.integers(0, 0x1FFFF),
    st.integers(0, 255),
    st.integers(0, 31),
    st.integers(0, 7),
)
DRIVERS = st.sampled_from(["vfio-pci", "no", "null", "1234", "0x1f", "1_0"]) | pattern(DRIVER)
SELECT = st.builds(
    Select,
    address=st.none() | ADDRESS,
    uuid=st.none() | TEXT,
    serial=st.none() | TEXT,
    slot=st.none() | TEXT.filter(lambda text: "/" not in text),
    vendor=st.sampled_from([None, "amd", "8086", "1e10"]),
    model=st.none() | TEXT,
    class_=st.sampled_from([None, "display", "0300", "03"]),
    part_number=st.sampled_from([None, "900-21001-*", "692-2G520-0200-00?", "1234"]),
    minor=st.none() | st.integers(0, 255),
    mig_capable=st.sampled_from([None, False, True]),
    numa=st.none() | st.integers(0, 99),
    driver=st.none() | DRIVERS,
).filter(lambda select: select != Select())


ENTRY = st.builds(
    LayoutEntry,
    profile=st.sampled_from(["3g.20gb", "1g.5gb+me", "1g.24gb-me", "1g.24gb+me.all", "2", "7e3", "0x1f"]),
    start=st.none() | st.integers(0, 11),
    compute=st.none() | st.lists(st.integers(1, 7), max_size=4).map(tuple),
)
TYPES = st.sampled_from(
    ["A100-4C", "A100-8C", "H100-1-10C", "nvidia-471", "mbochs-small", "i915-GVTg_V5_4", "4", "no"]
)
LAYOUT = st.lists(ENTRY, max_size=7).map(tuple) | st.sampled_from(["balanced", "all-1g", "empty", "no-1g"])


def common(name: str) -> dict[str, st.SearchStrategy]:
    return {
        "name": st.just(name),
        "select": SELECT,
        "count": st.none() | st.integers(1, 99),
        "optional": st.booleans(),
        "take_over": st.booleans(),
    }


@st.composite
def rules(draw: st.DrawFn, name: str) -> Rule:
    host = st.builds(HostRule, **common(name), driver=st.none() | DRIVERS)
    given = st.builds(
        PassthroughRule,
        **common(name),
        driver=DRIVERS,
        with_=st.lists(ADDRESS, max_size=3).map(tuple),
        allow_boot_display=st.booleans(),
    )
    vfs = draw(st.integers(0, 9))
    single = st.dictionaries(st.integers(0, vfs - 1), DRIVERS, max_size=3) if vfs else st.just({})
    numbered = single.map(lambda found: tuple(VfDriver(index=at, driver=found[at]) for at in sorted(found)))
    some = st.none() | st.integers(0, 99_999)
    amount = st.none() | st.integers(1, 99_999)
    share = st.builds(Share, quantum=some, timeout=some, memory=amount).filter(lambda one: one != Share())
    own = st.dictionaries(st.integers(0, vfs - 1), share, max_size=2) if vfs else st.just({})
    shares = own.map(lambda found: tuple(VfShare(index=at, share=found[at]) for at in sorted(found)))
    vf = st.builds(
        Vf,
        driver=st.none() | DRIVERS,
        autoprobe=st.booleans(),
        drivers=numbered,
        quantum=some,
        timeout=some,
        memory=amount,
        shares=shares,
    )
    cut = st.builds(
        SriovRule, **common(name), vfs=st.just(vfs), vf=vf, pf=st.builds(Turn, quantum=some, timeout=some)
    )
    parts = st.builds(
        PartitionRule,
        **common(name),
        compute=st.sampled_from(COMPUTES),
        memory=st.none() | st.sampled_from(MEMORIES),
    )
    mig = st.builds(MigRule, **common(name), layout=LAYOUT)
    counts = st.dictionaries(TYPES, st.integers(0, 9), max_size=3).map(
        lambda found: tuple(TypeCount(type=kind, count=number) for kind, number in found.items())
    )
    params = st.dictionaries(
        st.sampled_from(["frame_rate_limiter", "disable_vnc"]), st.sampled_from(["0", "1", "on"]), max_size=2
    )
    mdev = st.builds(MdevRule, **common(name), types=counts)
    vgpu = st.builds(
        VgpuRule,
        **common(name),
        types=counts,
        layout=st.none() | LAYOUT,
        params=params.map(
            lambda found: tuple(VgpuParam(name=key, value=value) for key, value in found.items())
        ),
        scheduler=st.sampled_from([None, "best-effort", "equal-share", "fixed-share"]),
    )
    return draw(host | given | mig | cut | parts | mdev | vgpu)


def _device(rule: Rule) -> list[str]:
    if isinstance(rule, SriovRule):
        return [f"{rule.name}/vf{rule.vfs - 1}"] if rule.vfs else []
    return (
        []
        if isinstance(rule, HostRule | MigRule | PartitionRule | MdevRule | VgpuRule) or rule.select.address
        else [rule.name]
    )


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    names = draw(st.lists(pattern(NAME), max_size=4, unique=True).map(sorted))
    gpus = tuple(draw(rules(name)) for name in names if not name.startswith("pci_"))
    addressed = {rule.select.address for rule in gpus}
    devices = [device for rule in gpus if rule.select.address is None for device in _device(rule)]
    devices += [found for found in draw(st.lists(ADDRESS, max_size=2, unique=True)) if found not in addressed]
    chosen = draw(st.permutations(devices))
    return Profile(
        gpus=gpus,
        attachments=tuple(
            Attachment(
                domain=draw(TEXT),
                device=device,
                rom=draw(st.sampled_from((None, "none", "/a b/c.rom"))),
                guest_address=draw(st.none() | ADDRESS),
            )
            for device in chosen
        ),
        containers=draw(st.sampled_from((None, "cdi", "nvidia-ctk"))),
    )
