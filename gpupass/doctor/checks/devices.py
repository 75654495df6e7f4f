"""The devices themselves: do they answer, can they be cleaned, does anybody have them?"""

from collections.abc import Iterable, Iterator

from gpupass.devices.verdict import busy, no_reset, silence
from gpupass.doctor.check import ALL, VFIO, WHOLE, Check, Level, Said, Sight, Told, fine, hidden
from gpupass.doctor.remedy import Setup, Type
from gpupass.lending.preflight import trouble
from gpupass.model.address import same_slot, sysfs
from gpupass.model.host import Device
from gpupass.plan import Finding

_POWER_OFF = "power the device or the host off and on"


def told(of: Iterable[tuple[str, Finding]]) -> Iterator[Said]:
    """What the house says elsewhere, in the same words."""
    for about, finding in of:
        yield Said(
            about=about, why=finding.message, remedy=Type(words=finding.remedy) if finding.remedy else None
        )


def _answers(sight: Sight) -> Told:
    dead = [member for member in sight.members if not member.facts.responds]
    for member in dead:
        yield Said(about=member.address, why=silence(member), remedy=Type(words=_POWER_OFF))
    if sight.gpus and not dead:
        yield fine("they answer")


def _resets(sight: Sight) -> Told:
    """A bus reset takes all that is behind the port."""
    for gpu in sight.gpus:
        methods = gpu.facts.reset_methods
        once = Type(words="give it to one guest for as long as the host is up, or use another card")
        if not methods:
            yield Said(about=gpu.address, why=no_reset(gpu), remedy=once)
        elif methods == ("pm",):
            why = "its only reset is a change of power state, which leaves its memory as it was"
            yield Said(about=gpu.address, level=Level.WARN, why=why, remedy=once)
        elif methods == ("bus",) and _beside(sight, gpu):
            other = _beside(sight, gpu)[0]
            why = f"its only reset is that of its bus, which would hit {other}, too"
            yield Said(
                about=gpu.address, level=Level.WARN, why=why, remedy=Type(words=f"give {other} along with it")
            )
        else:
            yield fine(f"it can be reset: {' '.join(methods)}", gpu.address)


def _beside(sight: Sight, gpu: Device) -> list[str]:
    return [
        other.address
        for other in sight.host.devices
        if gpu.parent is not None and other.parent == gpu.parent and not same_slot(other.address, gpu.address)
    ]


def _known(sight: Sight) -> Told:
    found = [(gpu.address, finding) for gpu in sight.gpus for finding in trouble(gpu)]
    yield from told(found)
    if sight.gpus and not found:
        yield fine("none is known not to come back from a reset")


def _sleeps(sight: Sight) -> Told:
    said = sight.ground.kernel.said
    stuck = [
        member
        for member in sight.members
        if any("stuck in D3" in line and member.address in line for line in said or ())
        or (member.on_vfio and member.facts.power_state == "unknown")
    ]
    for member in stuck:
        files = (sysfs(member.address, name) for name in ("d3cold_allowed", "power/control"))
        commands = " && ".join(
            f"echo {value} > {path}" for value, path in zip(("0", "on"), files, strict=True)
        )
        yield Said(about=member.address, why="it has not woken up from D3cold", remedy=Type(words=commands))
    if not stuck and said is None and sight.gpus:
        yield hidden(sight, "what the kernel said of their power")
    elif not stuck and sight.gpus:
        yield fine("they wake up")


def _errors(sight: Sight) -> Told:
    if sight.ground.functions is None and sight.gpus:
        yield hidden(sight, "their error counters")
        return
    wrong = False
    for member in sight.members:
        found = sight.ground.function(member.address)
        if found is not None and found.errors:
            wrong = True
            counts = ", ".join(f"{count} {kind}" for kind, count in found.errors.items())
            remedy = Type(words="see what they are: dmesg | grep AER; then the card, its riser and its power")
            yield Said(about=member.address, why=f"PCIe errors since boot: {counts}", remedy=remedy)
    if sight.gpus and not wrong:
        yield fine("no PCIe errors since boot")


def _link(sight: Sight) -> Told:
    """The speed falls at rest; lanes do not come back."""
    for gpu in sight.gpus:
        link = gpu.facts.link
        if link is not None and link.width < link.max_width:
            why = f"{link.width} of {link.max_width} lanes are in use"
            remedy = Setup(words="see how lanes are divided between slots; else push the card in anew")
            yield Said(about=gpu.address, why=why, remedy=remedy)
        elif link is not None:
            yield fine(f"all its {link.width} lanes are in use", gpu.address)


def _node(sight: Sight) -> Told:
    memory = sight.ground.memory
    if memory is None and sight.gpus:
        yield hidden(sight, "how many NUMA nodes there are")
    elif memory is not None and memory.nodes > 1:
        lost = [gpu for gpu in sight.gpus if gpu.facts.numa_node is None]
        for gpu in lost:
            yield Said(
                about=gpu.address,
                why=f"of {memory.nodes} NUMA nodes it is on an unknown one: nobody can place a guest near it",
                remedy=Setup(words="switch NUMA (SRAT, SLIT) on, and update it"),
            )
        if sight.gpus and not lost:
            yield fine("the node of each is known")
    elif sight.gpus:
        yield fine("there is one node")


def _held(sight: Sight) -> Told:
    found = [(member.address, finding) for member in sight.members for finding in busy(member)]
    yield from told(found)
    if sight.gpus and not found:
        yield fine("no process has them open")


def _plugged(sight: Sight) -> Told:
    """A keyboard or a disk behind the card's own USB port goes with it."""
    if sight.ground.functions is None and sight.gpus:
        yield hidden(sight, "what is plugged into their USB ports")
        return
    taken = False
    for member in sight.members:
        found = sight.ground.function(member.address)
        if found is not None and found.usb and not member.on_vfio:
            taken = True
            why = f"{', '.join(found.usb)} is plugged into it, and goes to the guest"
            yield Said(about=member.address, why=why, remedy=Type(words="plug it in elsewhere"))
    if sight.gpus and not taken:
        yield fine("nothing of the host's is plugged into them")


DEVICES = (
    Check(id="dev.dead", title="they answer", purposes=ALL, worst=Level.FAIL, find=_answers),
    Check(id="rst.method", title="resets", purposes=VFIO, worst=Level.FAIL, find=_resets),
    Check(id="rst.known", title="known resets", purposes=WHOLE, worst=Level.WARN, find=_known),
    Check(id="rst.d3", title="waking up", purposes=WHOLE, worst=Level.WARN, find=_sleeps),
    Check(id="dev.aer", title="PCIe errors", purposes=ALL, worst=Level.WARN, find=_errors),
    Check(id="dev.link", title="PCIe lanes", purposes=ALL, worst=Level.WARN, find=_link),
    Check(id="dev.numa", title="NUMA nodes", purposes=ALL, worst=Level.WARN, find=_node),
    Check(id="dev.held", title="who has them open", purposes=WHOLE, worst=Level.WARN, find=_held),
    Check(id="dev.usb", title="their USB ports", purposes=WHOLE, worst=Level.FAIL, find=_plugged),
)
