"""What is written reads back as the same."""

import yaml
from hypothesis import HealthCheck, given, settings

from gpupass.methods.host.rule import HostRule
from gpupass.methods.passthrough.rule import PassthroughRule
from gpupass.methods.sriov.rule import SriovRule, Vf, VfDriver
from gpupass.model.options import BarSize
from gpupass.model.profile import Attachment, Profile, Select
from gpupass.profiles import write_profile
from tests.profile_files import load
from tests.profile_strategy import profiles

WHOLE = Profile(
    gpus=(
        HostRule(name="console", select=Select(vendor="8086", class_="0300"), optional=True),
        PassthroughRule(name="off", select=Select(serial="0123", slot="3"), with_=("0000:02:00.0",)),
        SriovRule(
            name="nic",
            select=Select(address="0000:01:00.0"),
            vfs=2,
            vf=Vf(driver="vfio-pci", drivers=(VfDriver(index=1, driver="no"),)),
            take_over=True,
        ),
    ),
    attachments=(
        Attachment(domain="vm 1", device="nic/vf0"),
        Attachment(domain="on", device="0000:03:00.0", rom="none", bar=(BarSize(index=1, size="16G"),)),
    ),
    containers="nvidia-ctk",
)
TEXT = """\
version: 1
gpus:
- name: console
  select: {vendor: "8086", class: "0300"}
  use: host
  optional: true
- name: "off"
  select: {serial: "0123", slot: "3"}
  use: passthrough
  with: ["0000:02:00.0"]
- name: nic
  select: {address: "0000:01:00.0"}
  use: sriov
  take-over: true
  vfs: 2
  vf:
    driver: vfio-pci
    drivers: {1: "no"}
attachments:
- {domain: "vm 1", device: nic/vf0}
- {domain: "on", device: "0000:03:00.0", rom: none, bar: {1: "16G"}}
containers: nvidia-ctk
"""


def test_text() -> None:
    assert write_profile(WHOLE) == TEXT
    assert load(TEXT) == WHOLE
    assert write_profile(Profile()) == "version: 1\n"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(profiles())
def test_round_trip(profile: Profile) -> None:
    text = write_profile(profile)
    assert load(text) == profile
    assert yaml.safe_load(text)["version"] == 1
