"""A profile read otherwise than it is written; pure."""

from msgspec.structs import replace

from gpupass.methods import RULES
from gpupass.model.profile import Profile, Rule


def meant(profile: Profile, adopt: bool, absent: bool) -> Profile:
    """With --adopt, with --absent."""
    profile = adopting(profile) if adopt else profile
    return gone(profile) if absent else profile


def adopting(profile: Profile) -> Profile:
    """What gpupass did not make on its devices may be changed, too."""
    return replace(profile, gpus=tuple(replace(rule, take_over=True) for rule in profile.gpus))


def gone(profile: Profile) -> Profile:
    """Its devices are the host's again: drivers as before, nothing cut, no domain has them."""
    return replace(profile, gpus=tuple(map(_for_host, profile.gpus)), attachments=())


def _for_host(rule: Rule) -> Rule:
    (home,) = (kind for kind in RULES.values() if kind.for_host)
    return home(
        name=rule.name,
        select=rule.select,
        count=rule.count,
        optional=rule.optional,
        take_over=rule.take_over,
        place=rule.place,
    )
