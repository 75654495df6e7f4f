"""vGPUs on GPU instances: what their types ask of MIG; pure."""

from collections.abc import Iterator

from gpupass.methods.mig.rule import MigRule
from gpupass.methods.vgpu.made import There
from gpupass.methods.vgpu.rule import VgpuRule
from gpupass.model.host import Device, Host
from gpupass.model.mig import GpuInstance, MigState, measures_of
from gpupass.model.vgpu_types import read_label
from gpupass.plan import Finding
from gpupass.step import Deed, Kind


def instances(host: Host, card: Device, rule: VgpuRule, staying: tuple[There, ...]) -> Iterator[MigRule]:
    """Those of its layout, sparing what vGPUs are on; without one they stay as somebody else has cut them.

    Time-sliced types ask for none: then MIG mode goes, where gpupass has switched it on.
    """
    used = tuple((one.instance, f"vGPU {one.name}") for one in staying if one.instance is not None)
    state = _state(card)
    if rule.layout is not None:
        layout, leave = rule.layout, False
    elif state is not None and (state.on or state.pending) and not _sliced(rule):
        layout, leave = (), True
    else:
        return
    yield MigRule(
        name=rule.name,
        select=rule.select,
        take_over=rule.take_over,
        layout=layout,
        bare=True,
        leave=leave,
        used=used,
    )


def mistakes(card: Device, rule: VgpuRule) -> Iterator[Finding]:
    """What its types need of MIG and the rule, or the card, does not have."""
    state = _state(card)
    if rule.layout is not None:
        yield from _no_instance(rule)
    elif state is not None and (state.on or state.pending):
        for name in _sliced(rule)[:1]:
            yield Finding(
                message=f"{card.address} is in MIG mode, in which it has no {name}",
                remedy="take-over: true in the rule, or MIG-backed types with a layout",
            )
    elif state is not None:
        for name, slices in _backed(rule):
            yield Finding(
                message=f"{card.address} is not in MIG mode, and {name} needs a GPU instance of {slices} "
                "slices",
                remedy=f"layout: with a {slices}g profile",
            )


def ended_by(card: Device, step: Deed) -> frozenset[int]:
    """The ids of the card's GPU instances that go with the step."""
    if (Kind.INSTANCE, card.address) not in step.ends:
        return frozenset()
    gone = {about for _, about in step.ends}
    return frozenset(one.id for one in _instances(card) if f"{card.address}/{one.name}" in gone)


def ids_of(card: Device, name: str) -> frozenset[int]:
    return frozenset(one.id for one in _instances(card) if one.name == name)


def _state(card: Device) -> MigState | None:
    return card.facts.nvidia.mig if card.facts.nvidia is not None else None


def _instances(card: Device) -> tuple[GpuInstance, ...]:
    state = _state(card)
    return state.gpu.instances if state is not None and state.gpu is not None else ()


def _sliced(rule: VgpuRule) -> list[str]:
    """Types that no GPU instance can have."""
    labels = ((one.type, read_label(one.type)) for one in rule.types if one.count)
    return [name for name, label in labels if label is not None and label.slices is None]


def _backed(rule: VgpuRule) -> Iterator[tuple[str, int]]:
    """MIG-backed types that are wanted, and how many slices their GPU instance has: their names say so."""
    for one in rule.types:
        label = read_label(one.type)
        if one.count and label is not None and label.slices is not None:
            yield one.type, label.slices


def _no_instance(rule: VgpuRule) -> Iterator[Finding]:
    """A layout by name is known to the driver only."""
    if rule.layout is None or isinstance(rule.layout, str):
        return
    there = {measures[0] for entry in rule.layout if (measures := measures_of(entry.profile)) is not None}
    for name, slices in _backed(rule):
        if slices not in there:
            yield Finding(
                message=f"{name} needs a GPU instance of {slices} slices; the layout has none",
                remedy=f"layout: with a {slices}g profile",
            )
