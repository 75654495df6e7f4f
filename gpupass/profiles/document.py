"""What one profile file may hold: a profile, other files to include, and what is different on some hosts."""

from typing import Annotated

from msgspec import Struct

from gpupass.model.key import Key
from gpupass.model.profile import CDI, NVIDIA_CTK, VERSION, Attachment, Rule


class Override(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules replace those of the same name, attachments those of the same device; others are added."""

    gpus: Annotated[tuple[Rule, ...], Key("rules of this host")] = ()
    attachments: Annotated[tuple[Attachment, ...], Key("attachments of this host")] = ()
    containers: Annotated[str | None, Key("as above, for this host", choices=(CDI, NVIDIA_CTK))] = None


class HostPart(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `hosts`."""

    host: Annotated[
        str, Key("host name or glob", pattern=r"[^\s/]{1,255}", form="up to 255 signs, no space or '/'")
    ]
    override: Annotated[Override, Key("what is different there")]


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The wanted state of the GPUs of a host, or of several."""

    version: Annotated[int, Key("version of the format", choices=(VERSION,))]
    include: Annotated[tuple[str, ...], Key("files read before this one, relative to it")] = ()
    gpus: Annotated[tuple[Rule, ...], Key("which devices are used how", also=("rules", "devices"))] = ()
    attachments: Annotated[
        tuple[Attachment, ...], Key("which domain gets what", also=("attach", "domains"))
    ] = ()
    containers: Annotated[
        str | None,
        Key(
            "who writes what containers can be given: gpupass (cdi), or for NVIDIA GPUs nvidia-ctk",
            choices=(CDI, NVIDIA_CTK),
        ),
    ] = None
    hosts: Annotated[tuple[HostPart, ...], Key("what is different, by host name or glob", mapping=True)] = ()
