"""gpupass's own memory of a device: one mark for each kind and address."""

from typing import Any, ClassVar

from msgspec.structs import replace

from gpupass.model.address import Address
from gpupass.model.host import Host
from gpupass.model.record import Record, RecordKind
from gpupass.step import Step
from gpupass.store import marks, store_of
from gpupass.system import System

_WHAT = {
    RecordKind.ORIGIN: "the former driver",
    RecordKind.CLAIM: "the domain",
    RecordKind.VFS: "the virtual functions",
    RecordKind.MIG: "the GPU instances",
    RecordKind.MDEV: "the mediated device",
    RecordKind.VGPU: "the vGPU",
    RecordKind.PARTITION: "the former partition modes",
    RecordKind.QUARANTINE: "the quarantine",
}


class WriteRecord(Step, frozen=True, kw_only=True):
    """Remember (`record`) or forget (None) one fact about a device."""

    kind: RecordKind
    address: Address
    record: Record | None
    mdev: str | None = None  # the fact is about this mediated device of it

    Before: ClassVar[Any] = Record | None
    hidden: ClassVar[bool] = True
    means: ClassVar[bool] = True

    @property
    def carriers(self) -> tuple[Address, ...]:
        return (self.address,)

    def words(self) -> str:
        verb = "remember" if self.record else "forget"
        return f"{verb} {_WHAT[self.kind]} of {self.mdev or self.address}"

    def seconds(self) -> float:
        return 0.0

    def after(self, host: Host) -> Host:
        about = (self.kind, self.address, self.mdev)
        others = (r for r in host.records if (r.kind, r.address, r.mdev) != about)
        return replace(host, records=(*others, *([self.record] if self.record else [])))

    def current(self, system: System) -> Any:
        return marks.read_mark(store_of(system), self.kind, self.address, self.mdev)

    def do(self, system: System, deadline: float) -> None:
        self._store(self.record, system)

    def undo(self, before: Any, system: System) -> None:
        self._store(before, system)

    def _store(self, record: Record | None, system: System) -> None:
        if record is None:
            marks.forget(store_of(system), (self.kind, self.address, self.mdev or ""))
        else:
            marks.set_mark(store_of(system), record)
