"""The configurations that mig-parted ships, on every board that is published: cut as they say, or refused."""

from collections import Counter
from itertools import groupby

import pytest

from gpupass.importing.mig import import_config
from gpupass.importing.mig_parted import read_mig_configs
from gpupass.methods.host.rule import HostRule
from gpupass.methods.mig.recut import plan_recut
from gpupass.methods.mig.rule import MigRule
from gpupass.model.address import Address
from gpupass.model.host import Detail, Device, Host, Nvidia
from tests.mig_boards import ALL_BOARDS, PCI_IDS, board, published

ROWS = [(file, name, ids, gpus, tuple(wanted)) for file, name, ids, gpus, *wanted in published("mig-parted")]
CONFIGS = {key: [row[2:] for row in rows] for key, rows in groupby(ROWS, key=lambda row: row[:2])}


def text(name, entries):
    """As mig-parted spells it."""
    lines = ["version: v1", "mig-configs:", f"  {name}:"]
    for ids, gpus, wanted in entries:
        lines.append(f"  - devices: {gpus if gpus == 'all' else f'[{gpus}]'}")
        if ids != "-":
            lines.append(
                f"    device-filter: [{', '.join(f'0x{one.upper()}10DE' for one in ids.split(','))}]"
            )
        lines.append(f"    mig-enabled: {str(wanted != ('off',)).lower()}")
        if wanted != ("off",):
            counts = [] if wanted == ("none",) else [one.partition("x")[::2] for one in wanted]
            told = ", ".join(f'"{profile}": {count}' for count, profile in counts)
            lines.append(f"    mig-devices: {{{told}}}")
    return "".join(f"{line}\n" for line in lines)


def host(*pci_ids):
    return Host(
        devices=tuple(
            Device(
                address=Address(f"0000:{number + 1:02x}:00.0"),
                vendor=0x10DE,
                device=int(ids, 16),
                class_code=0x030200,
                driver="nvidia",
                detail=Detail(nvidia=Nvidia(uuid=f"GPU-{number}")),
            )
            for number, ids in enumerate(pci_ids)
        )
    )


def wanted_of(entries, pci_id):
    """What the last entry that speaks of the GPU says; None: none does."""
    said = [wanted for ids, _, wanted in entries if ids == "-" or pci_id in ids.split(",")]
    return said[-1] if said else None


def occupied(gpu, recut):
    return [
        at
        for new in recut.created
        for at in range(new.placement.start, new.placement.start + new.placement.size)
    ]


@pytest.mark.parametrize("on", ALL_BOARDS)
@pytest.mark.parametrize(
    "key", [key for key in CONFIGS if key[0] == "config-default"], ids=lambda key: key[1]
)
def test_on_every_board(key, on):
    entries, pci_id, gpu = CONFIGS[key], PCI_IDS[on][0], board(on)
    wanted = wanted_of(entries, pci_id)
    if wanted is None:
        return
    (config,) = read_mig_configs("c.yaml", text(key[1], entries))
    (rule,) = import_config(config, host(pci_id)).gpus
    if wanted == ("off",):
        assert isinstance(rule, HostRule)
        return
    assert isinstance(rule, MigRule)
    counts = (
        {} if wanted == ("none",) else {one.partition("x")[2]: int(one.partition("x")[0]) for one in wanted}
    )
    recut = plan_recut(gpu, rule.layout)
    if all(gpu.profile(profile) is not None for profile in counts):
        assert not recut.refusals
        assert Counter(new.profile.name for new in recut.created) == Counter(counts)
        assert max(Counter(occupied(gpu, recut)).values(), default=1) == 1
        assert all(new.placement in new.profile.placements for new in recut.created)
    else:
        assert recut.refusals, f"{on} has not all of {counts}"


def test_each_board_has_its_own_balanced_one():
    said = {
        on: {wanted_of(CONFIGS["config-default", "all-balanced"], ids) for ids in PCI_IDS[on]}
        for on in PCI_IDS
    }
    for on, wanted in said.items():
        (one,) = wanted
        assert one is not None and all(board(on).profile(word.partition("x")[2]) for word in one), on


def test_a_station_with_another_card_for_its_display():
    station = host("20b2", "20b2", "20b2", "1fb0", "20b2")
    (config,) = read_mig_configs(
        "c.yaml",
        text("b", CONFIGS["dgx-station-80gb-config", "balanced-k8s-dgx-station-80"]),
    )
    rules = {rule.name: rule for rule in import_config(config, station).gpus}
    assert {name: type(rule) for name, rule in rules.items()} == {
        "gpu0": HostRule,
        "gpu1": MigRule,
        "gpu2": MigRule,
        "gpu3": HostRule,
        "gpu4": MigRule,
    }
    for name, profiles in (
        ("gpu1", "3g.40gb " * 2),
        ("gpu2", "2g.20gb " * 3 + "1g.10gb"),
        ("gpu4", "1g.10gb " * 7),
    ):
        assert [one.profile for one in rules[name].layout] == profiles.split()
        assert not plan_recut(board("A100-80"), rules[name].layout).refusals


def test_eight_gpus_of_which_four_are_cut():
    (config,) = read_mig_configs("c.yaml", text("c", CONFIGS["config", "custom-config"]))
    rules = import_config(config, host(*["20b0"] * 8)).gpus
    assert [type(rule) for rule in rules] == [HostRule] * 4 + [MigRule] * 4
    assert [len(rule.layout) for rule in rules[4:]] == [7, 3, 2, 4]
    assert not any(plan_recut(board("A100-40"), rule.layout).refusals for rule in rules[4:])


def test_all_are_there():
    assert len(CONFIGS) == 99
