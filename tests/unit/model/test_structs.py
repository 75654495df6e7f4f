"""What every class of data promises, told once for all of them: msgspec inherits not all of it."""

import importlib
import pkgutil

import pytest
from msgspec import Struct, ValidationError, convert, to_builtins
from msgspec.structs import replace

import gpupass
from gpupass.methods.host.rule import HostRule
from gpupass.model.key import Key
from gpupass.model.mig import ComputeInstance, GpuInstance, Placement
from gpupass.model.profile import Place, Select
from gpupass.steps.module import LoadModule


def every_struct() -> list[type[Struct]]:
    for module in pkgutil.walk_packages(gpupass.__path__, "gpupass."):
        if not module.name.startswith("gpupass.lab") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, todo = [], [Struct]
    while todo:
        kinds = [kind for kind in todo.pop().__subclasses__() if kind.__module__.startswith("gpupass.")]
        found += kinds
        todo += kinds
    return found


STRUCTS = every_struct()


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_data_never_change_and_know_no_other_field(kind: type[Struct]) -> None:
    config = kind.__struct_config__
    assert config.frozen and config.forbid_unknown_fields
    assert issubclass(kind, Key) or kind.__match_args__ == (), "a field may be given by its position"


def test_there_are_many() -> None:
    assert len(STRUCTS) > 100


def test_an_unknown_field_of_a_step_is_an_error() -> None:
    data = to_builtins(LoadModule(module="vfio-pci"))
    assert data["step"] == "LoadModule" and convert(data, LoadModule).module == "vfio-pci"
    with pytest.raises(ValidationError, match="colour"):
        convert(data | {"colour": "red"}, LoadModule)


def test_where_a_rule_stands_makes_no_difference() -> None:
    rule = HostRule(name="card", select=Select(slot="3"))
    moved = replace(rule, place=Place(file="p.yaml", line=3, column=5))
    assert rule == moved and hash(rule) == hash(moved) and rule != replace(rule, name="other")


def test_the_uuid_of_a_compute_instance_makes_no_difference() -> None:
    def instance(uuid: str | None, size: int) -> GpuInstance:
        part = ComputeInstance(id=0, placement=Placement(start=0, size=size), uuid=uuid)
        return GpuInstance(id=1, profile="3g.20gb", placement=Placement(start=4, size=4), compute=(part,))

    assert instance("MIG-1", 3) == instance(None, 3) != instance("MIG-1", 2)
    assert hash(instance("MIG-1", 3)) == hash(instance(None, 3))
