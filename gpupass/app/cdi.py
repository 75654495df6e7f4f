"""/etc/cdi/gpupass.yaml: what containers can be given, by `gpupass cdi` and after every apply."""

from collections.abc import Iterable
from contextlib import suppress

from msgspec.structs import replace

from gpupass.app.files import facts_after, facts_of_files, names_in
from gpupass.app.intents import Alone
from gpupass.app.report import Came, Ending, Report, forbid, known, planned
from gpupass.app.session import Session
from gpupass.app.verbs import single
from gpupass.cdi.specification import (
    PATH,
    cdi_plan,
    cdi_text,
    leaves_nvidia_out,
    unmade_capabilities,
    without_nvidia_ctk,
)
from gpupass.errors import GpupassError
from gpupass.model.address import BOOT, Address
from gpupass.model.boot import HostFile
from gpupass.model.domain import QEMU
from gpupass.model.host import Host
from gpupass.model.profile import CDI, NVIDIA_CTK
from gpupass.observe import observe
from gpupass.observe.nodes import read_nodes
from gpupass.plan import Finding, HostPlan, Plan
from gpupass.planner.difference import Difference, Facts, difference
from gpupass.store import store_of
from gpupass.system import Reader, System
from gpupass.system.executable import installed

_SECONDS = 30.0
_NVIDIA = "/etc/cdi/nvidia.yaml"
_GENERATE = ("nvidia-ctk", "cdi", "generate", f"--output={_NVIDIA}")


class Told(Alone, frozen=True, kw_only=True):
    """Containers are told what there is for them."""

    connect: str | None = QEMU
    nvidia: bool | None = None  # None: NVIDIA GPUs are in it unless the file says that nvidia-ctk has them

    def look(self, system: System) -> tuple[Host, HostFile | None]:
        before, host = system.read_file(PATH), _look(system, self.connect)
        return _with_capabilities(system, host) if self._has_nvidia(before) else host, before

    def foreseen(self, sight: tuple[Host, HostFile | None], plan: Plan) -> Difference:
        return difference(self.facts(sight, names_in(plan)), facts_after(plan))

    def facts(self, sight: tuple[Host, HostFile | None], names: Iterable[str]) -> Facts:
        _, file = sight
        return facts_of_files((file,) if file is not None else (), names)

    def touches(self, sight: object) -> tuple[Address, ...]:
        return (BOOT,)

    def plan(self, sight: tuple[Host, HostFile | None]) -> HostPlan:
        host, before = sight
        return HostPlan(plans=(replace(cdi_plan(host, before, self._has_nvidia(before)), devices=(BOOT,)),))

    def _has_nvidia(self, before: HostFile | None) -> bool:
        if self.nvidia is not None:
            return self.nvidia
        return before is None or not leaves_nvidia_out(before.text)


def cdi(system: System, *, connect: str | None = QEMU) -> Report:
    """Write the file, once."""
    with Session(system) as session:
        return _written(session, Told(connect=connect))


def _written(session: Session, wanted: Told) -> Report:
    return single(session, wanted, (BOOT,), seconds=_SECONDS)


def preview(system: Reader, connect: str | None = QEMU, nvidia: bool | None = None) -> Report:
    """The same as a dry run, which asks the driver for nothing; also of a recorded host."""
    if isinstance(system, System):
        before = system.read_file(PATH)
    else:
        data = system.read_bytes(PATH)
        before = None if data is None else HostFile(path=PATH, text=data.decode(errors="surrogateescape"))
    intent, sight = Told(nvidia=nvidia), (_look(system, connect), before)
    made = intent.plan(sight)
    (plan,) = made.plans
    report = planned(plan, intent.foreseen(sight, plan))
    with known(Came(reports=(report,), plan=made, made=made)):
        forbid(plan.title, plan.refusals)
    return report


def text_of(system: Reader, connect: str = QEMU) -> tuple[str, tuple[Finding, ...]]:
    """What would be written, and what is left out of it; also of a recorded host."""
    before = system.read(PATH)
    nvidia = before is None or not leaves_nvidia_out(before)
    host = _look(system, connect)
    return cdi_text(host, nvidia), cdi_plan(host, None, nvidia).findings


def refresh(
    session: Session, containers: str | None, connect: str | None
) -> tuple[tuple[Finding, ...], tuple[Report, ...]]:
    """After an apply, where profile or file ask for it; what goes wrong is told and undoes nothing."""
    found: list[Finding] = []
    written: list[Report] = []
    system = session.system
    try:
        if containers == NVIDIA_CTK:
            had = system.read(_NVIDIA)
            found += _generate(system)
            written += [_generated()] if system.read(_NVIDIA) != had else []
        report = _written(session, Told(connect=connect, nvidia=_nvidia(containers)))
        found += report.warnings
        written += [report] if report.changed else []
    except GpupassError as error:
        found.append(_stale(error))
    return tuple(found), tuple(written)


def to_refresh(
    system: System, containers: str | None, connect: str | None, first: bool
) -> tuple[tuple[Finding, ...], tuple[Report, ...]]:
    """What `refresh` would do; `first`: devices change before, and nobody knows what there is then."""
    ctk = containers == NVIDIA_CTK and installed(system, NVIDIA_CTK)
    unknown = [_to_write(_NVIDIA)] if ctk else []
    if first:
        return (*unknown, _to_write(PATH)), ()
    try:
        report = preview(system, connect, _nvidia(containers))
    except GpupassError as error:
        return (*unknown, _stale(error)), ()
    return (*unknown, *report.warnings), (report,) if report.changed else ()


def _to_write(path: str) -> Finding:
    message = f"what containers are told in {path} is written afterwards, where it is other than now"
    return Finding(message=message, remedy="", fatal=False)


def _nvidia(containers: str | None) -> bool | None:
    return {CDI: True, NVIDIA_CTK: False}.get(containers or "")


def _generated() -> Report:
    title = f"have nvidia-ctk write {_NVIDIA}"
    return Report(title=title, ending=Ending.DONE, plan=Plan(title=title), changed=True)


def _generate(system: System) -> tuple[Finding, ...]:
    """NVIDIA's own program writes NVIDIA's own file."""
    if not installed(system, NVIDIA_CTK):
        return (without_nvidia_ctk(fatal=False),)
    try:
        system.run(*_GENERATE, timeout=_SECONDS)
    except GpupassError as error:
        return (_stale(error),)
    return ()


def _with_capabilities(system: System, host: Host) -> Host:
    """The driver makes an instance's access nodes when its own programs ask for them: so do we."""
    files = unmade_capabilities(host)
    if not files or not installed(system, "nvidia-modprobe"):
        return host
    for file in files:
        with suppress(GpupassError):  # what is still missing is left out, and told
            system.run("nvidia-modprobe", "-f", file)
    return replace(host, nodes=read_nodes(system))


def _stale(error: GpupassError) -> Finding:
    message = f"what containers are told is not up to date: {error.message}"
    return Finding(message=message, remedy=error.hint or "gpupass cdi", fatal=False)


def _look(system: Reader, connect: str | None) -> Host:
    if isinstance(system, System):
        store_of(system).require_readable()
    return observe(system, connect=connect, nodes=True)
