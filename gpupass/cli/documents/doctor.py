"""What the doctor has found."""

from msgspec import Struct

from gpupass.app.doctor import Examination
from gpupass.cli.documents.document import Document
from gpupass.doctor.check import Level, Purpose
from gpupass.doctor.examine import counted, waits_for_reboot
from gpupass.doctor.fix import fixable
from gpupass.doctor.words import Needs
from gpupass.model.ground import Distribution, LoaderKind


class Found(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one check tells, of the host or of one device or domain (`about`).

    `fixable`: `gpupass doctor --fix` does it. `needs`: what has to happen until the remedy counts.
    """

    id: str
    title: str
    subject: str
    purposes: tuple[Purpose, ...]
    level: Level
    about: str | None
    why: str
    remedy: str | None
    needs: Needs
    fixable: bool


class Examined(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All checks that this host is concerned with, and how many of each level."""

    findings: tuple[Found, ...]
    counts: dict[Level, int]
    reboot: bool  # something is written for the next boot already, and is not so yet
    distribution: Distribution
    loader: LoaderKind | None
    kernel: str
    unseen: tuple[str, ...]


def examined_document(seen: Examination) -> Examined:
    ground = seen.sight.ground
    return Examined(
        findings=tuple(
            Found(
                id=one.id,
                title=one.title,
                subject=one.subject,
                purposes=one.purposes,
                level=one.level,
                about=one.about or None,
                why=one.why,
                remedy=one.remedy or None,
                needs=one.needs,
                fixable=fixable(one.cure, ground),
            )
            for one in seen.found
        ),
        counts=counted(seen.found),
        reboot=waits_for_reboot(seen.found),
        distribution=ground.distribution,
        loader=ground.loader.kind if ground.loader is not None else None,
        kernel=ground.kernel.release,
        unseen=seen.sight.host.unseen,
    )
