"""gpupass's own marks of the devices; where they are lost, what follows from that."""

from gpupass.errors import Damaged, GpupassError
from gpupass.model.address import Address
from gpupass.model.host import Host
from gpupass.model.mark import Mark
from gpupass.store import store_of
from gpupass.store.marks import read_marks
from gpupass.system import Reader, System


def read_remembered(system: Reader, host: Host) -> tuple[tuple[Mark, ...], tuple[str, ...]]:
    """The marks, and why they are not to be seen; lost ones quarantine whatever is not provably idle."""
    if not isinstance(system, System):
        from gpupass.observe.recorded_marks import read_marks as read_recorded

        return read_recorded(system)
    store = store_of(system)
    try:
        return read_marks(store), ()
    except Damaged as error:
        from gpupass.planner.unknown import quarantines

        at_work = {Address(name) for devices in store.last_known().values() for name in devices}
        lost = "what gpupass remembers is damaged"
        return quarantines(host, at_work, lost, ""), (f"{error.message}: {error.hint}",)
    except GpupassError as error:
        return (), (f"{error.message}: {error.hint}",)
