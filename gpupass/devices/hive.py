"""Which AMD GPUs are one XGMI hive; pure."""

from gpupass.model.host import Device, Host


def hive_of(host: Host, gpu: Device) -> tuple[Device, ...]:
    """The GPUs that change their memory mode together, itself included."""
    hive = hive_name(gpu)
    return (gpu,) if hive is None else tuple(d for d in host.devices if hive_name(d) == hive)


def hive_name(device: Device) -> str | None:
    """None: a GPU by itself, or none that can be told of."""
    amd = device.detail.amd if device.detail is not None else None
    return amd.hive if amd is not None else None
