"""All checks of a host, as findings: each with its level, and what to type in this distribution's words."""

from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from gpupass.doctor.check import Check, Level, Purpose, Said, Sight
from gpupass.doctor.checks import SUBJECTS
from gpupass.doctor.remedy import Remedy
from gpupass.doctor.words import Needs, needs, stands, words


class Diagnosis(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of what a check tells; `about` is a device or a domain, "": the host."""

    id: str
    subject: str
    title: str
    purposes: tuple[Purpose, ...]
    level: Level
    about: str
    why: str
    remedy: str
    needs: Needs
    stands: bool  # what it says is written already, and only that is left
    cure: Remedy | None = field(default=None)


def examine(sight: Sight) -> tuple[Diagnosis, ...]:
    """Only what matters for one of the purposes that are asked about, where some are."""
    return tuple(
        _diagnosis(check, subject, said, sight)
        for subject, check in _asked(sight.purposes)
        for said in dict.fromkeys(check.find(sight))
    )


def _asked(purposes: frozenset[Purpose]) -> Iterator[tuple[str, Check]]:
    for subject, checks in SUBJECTS:
        for check in checks:
            if not purposes or purposes & check.purposes:
                yield subject, check


def _diagnosis(check: Check, subject: str, said: Said, sight: Sight) -> Diagnosis:
    level = said.level or check.worst
    return Diagnosis(
        id=check.id,
        subject=subject,
        title=check.title,
        purposes=tuple(sorted(check.purposes)),
        level=level,
        about=said.about,
        why=said.why,
        remedy=words(said.remedy, sight.ground) if said.remedy is not None else "",
        needs=needs(said.remedy) if said.remedy is not None else Needs.NOTHING,
        stands=stands(said.remedy, sight.ground),
        cure=said.remedy,
    )


def waits_for_reboot(findings: Iterable[Diagnosis]) -> bool:
    """Something is written for the next boot already, and not so yet."""
    return any(
        one.stands and one.needs is Needs.REBOOT and one.level in (Level.WARN, Level.FAIL) for one in findings
    )


def counted(findings: Iterable[Diagnosis]) -> dict[Level, int]:
    """Of every level, in their order."""
    found = [finding.level for finding in findings]
    return {level: found.count(level) for level in Level}
