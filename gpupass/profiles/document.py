"""What one profile file may hold: a profile, other files to include, and what is different on some hosts."""

from dataclasses import dataclass

from gpupass.model.key import key
from gpupass.model.profile import CDI, NVIDIA_CTK, VERSION, Attachment, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Rules replace those of the same name, attachments those of the same device; others are added."""

    gpus: tuple[Rule, ...] = key("rules of this host", default=())
    attachments: tuple[Attachment, ...] = key("attachments of this host", default=())
    containers: str | None = key("as above, for this host", default=None, choices=(CDI, NVIDIA_CTK))


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPart:
    """One entry of `hosts`."""

    host: str = key("host name or glob", pattern=r"[^\s/]{1,255}", form="up to 255 signs, no space or '/'")
    override: Override = key("what is different there")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The wanted state of the GPUs of a host, or of several."""

    version: int = key("version of the format", choices=(VERSION,))
    include: tuple[str, ...] = key("files read before this one, relative to it", default=())
    gpus: tuple[Rule, ...] = key("which devices are used how", default=(), also=("rules", "devices"))
    attachments: tuple[Attachment, ...] = key(
        "which domain gets what", default=(), also=("attach", "domains")
    )
    containers: str | None = key(
        "who writes what containers can be given: gpupass (cdi), or for NVIDIA GPUs nvidia-ctk",
        default=None,
        choices=(CDI, NVIDIA_CTK),
    )
    hosts: tuple[HostPart, ...] = key("what is different, by host name or glob", default=(), mapping=True)
