"""Good profiles: what is written is what is meant; includes and hosts."""

import pytest

from gpupass.errors import Usage
from gpupass.methods.host.rule import HostRule
from gpupass.methods.passthrough.rule import PassthroughRule
from gpupass.methods.sriov.rule import SriovRule, Vf, VfDriver
from gpupass.model.profile import Attachment, Place, Profile, Select
from gpupass.profiles import ProfileInvalid, load_profile
from tests.profile_files import findings, load, read_from

ISSUE = """version: 1
gpus:
  - name: render            # attachments and the CLI may use this name
    select: {vendor: amd, slot: "3"}
    use: passthrough
  - name: nic-like
    select: {address: "0000:01:00.0"}
    use: sriov
    vfs: 4
    vf: {driver: vfio-pci, autoprobe: false}
attachments:
  - {domain: vm1, device: render}
  - {domain: vm2, device: nic-like/vf0}
"""


def test_a_whole_profile() -> None:
    assert load(ISSUE) == Profile(
        gpus=(
            PassthroughRule(name="render", select=Select(vendor="amd", slot="3")),
            SriovRule(
                name="nic-like", select=Select(address="0000:01:00.0"), vfs=4, vf=Vf(driver="vfio-pci")
            ),
        ),
        attachments=(
            Attachment(domain="vm1", device="render"),
            Attachment(domain="vm2", device="nic-like/vf0"),
        ),
    )


def test_places() -> None:
    loaded = load(ISSUE)
    assert [rule.place for rule in loaded.gpus] == [
        Place(file="p.yaml", line=3, column=5),
        Place(file="p.yaml", line=6, column=5),
    ]
    assert str(loaded.attachments[1].place) == "p.yaml:13:5"


def test_the_last_word_on_containers_wins() -> None:
    files = {
        "top.yaml": "version: 1\ninclude: [a.yaml, b.yaml]\nhosts: {g*: {containers: nvidia-ctk}, h: {}}\n",
        "a.yaml": "version: 1\ncontainers: nvidia-ctk\n",
        "b.yaml": "version: 1\ncontainers: cdi\n",
    }
    assert load_profile("top.yaml", read_from(files), "h").containers == "cdi"
    assert load_profile("top.yaml", read_from(files), "gpu1").containers == "nvidia-ctk"
    assert load("version: 1\n").containers is None
    assert "containers" in findings("version: 1\ncontainers: docker\n")[0]


@pytest.mark.parametrize(
    "written, select",
    [
        ("slot: 3", Select(slot="3")),
        ("slot: 0-3", Select(slot="0-3")),
        ("serial: 0123", Select(serial="0123")),
        ("serial: 1_000", Select(serial="1_000")),
        ("serial: 2024-01-02", Select(serial="2024-01-02")),
        ("serial: 1e5", Select(serial="1e5")),
        ("address: 01:00.0", Select(address="0000:01:00.0")),
        ("address: 1:0.0", Select(address="0000:01:00.0")),
        ("address: 0000:AF:00.1", Select(address="0000:af:00.1")),
        ("driver: no", Select(driver="no")),
        ("driver: off", Select(driver="off")),
        ("vendor: 8086", Select(vendor="8086")),
        ("vendor: 10e8", Select(vendor="10e8")),
        ("class: 0300", Select(class_="0300")),
        ("numa: 0", Select(numa=0)),
        ('model: "*A100*"', Select(model="*A100*")),
        ("model: !!str 3", Select(model="3")),
    ],
)
def test_texts_are_taken_as_they_are_written(written: str, select: Select) -> None:
    """YAML 1.1 would make numbers, dates and truth values of them."""
    (rule,) = load(f"version: 1\ngpus: [{{use: host, select: {{{written}}}, name: a}}]\n").gpus
    assert rule.select == select


def test_rules_in_full() -> None:
    text = """version: 1
gpus:
  - {use: host, name: a, select: {slot: 1}, driver: i915, count: 2, optional: yes, take-over: on}
  - {use: passthrough, name: b, select: {slot: 2}, driver: nvgrace, with: 2:0.0, allow-boot-display: true}
  - {use: passthrough, name: c, select: {slot: 3}, with: ["0000:03:00.0", 4:0.0]}
  - {use: sriov, name: d, select: {slot: 4}, vfs: 3, vf: {drivers: {2: igbvf, "0": no}}}
"""
    assert load(text).gpus == (
        HostRule(name="a", select=Select(slot="1"), driver="i915", count=2, optional=True, take_over=True),
        PassthroughRule(
            name="b",
            select=Select(slot="2"),
            driver="nvgrace",
            with_=("0000:02:00.0",),
            allow_boot_display=True,
        ),
        PassthroughRule(name="c", select=Select(slot="3"), with_=("0000:03:00.0", "0000:04:00.0")),
        SriovRule(
            name="d",
            select=Select(slot="4"),
            vfs=3,
            vf=Vf(drivers=(VfDriver(index=0, driver="no"), VfDriver(index=2, driver="igbvf"))),
        ),
    )


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\n",
        "\ufeffversion: 1\n",
        '{"version": 1, "gpus": []}',
        "version: 1\r\ngpus: []\r\n",
        "--- {version: 1}\n...\n",
    ],
)
def test_nothing_wanted(text: str) -> None:
    assert load(text) == Profile()


def test_an_anchor_may_be_used_again() -> None:
    text = "version: 1\ngpus:\n- {name: a, select: {slot: 1}, use: sriov, vfs: 2, vf: &vf {driver: vfio-pci}}\n- {name: b, select: {slot: 2}, use: sriov, vfs: 2, vf: *vf}\n"
    a, b = load(text).gpus
    assert isinstance(a, SriovRule) and isinstance(b, SriovRule) and a.vf == b.vf == Vf(driver="vfio-pci")


def rule(name: str, slot: int = 1, use: str = "passthrough") -> str:
    return f"{{name: {name}, select: {{slot: {slot}}}, use: {use}}}"


def names(profile: Profile) -> list[str]:
    return [item.name for item in profile.gpus]


def test_included_files_come_first_and_once() -> None:
    files = {
        "etc/top.yaml": f"version: 1\ninclude: [parts/a.yaml, b.yaml]\ngpus: [{rule('top')}]\n",
        "etc/parts/a.yaml": f"version: 1\ninclude: ../b.yaml\ngpus: [{rule('a')}]\n",
        "etc/parts/../b.yaml": f"version: 1\ngpus: [{rule('b')}]\n",
    }
    assert names(load_profile("etc/top.yaml", read_from(files), "h")) == ["b", "a", "top"]


@pytest.mark.parametrize(
    "files, expected",
    [
        ({}, ["2:10: include: cannot read a.yaml: No such file or directory"]),
        (
            {"a": "version: 1\ninclude: p.yaml\n"},
            ["a.yaml:2:10: include: p.yaml includes itself: p.yaml → a.yaml → p.yaml"],
        ),
        (
            {"a": "version: 1\ninclude: [./a.yaml]\n"},
            ["a.yaml:2:11: include: ./a.yaml includes itself: a.yaml → ./a.yaml"],
        ),
        ({"a": "version: 3\n"}, ["a.yaml:1:10: version 3 is not known: this gpupass reads version 1"]),
        (
            {"a": f"version: 1\ngpus: [{rule('gpu')}]\n"},
            ["3:15: the name 'gpu' is used twice: first at a.yaml:2:15"],
        ),
        ({"a": "version: 1\nfoo: 1\n", "b": ""}, ["a.yaml:2:1: unknown key 'foo'"]),
    ],
)
def test_what_is_wrong_with_an_include(files: dict[str, str], expected: list[str]) -> None:
    text = f"version: 1\ninclude: a.yaml\ngpus: [{rule('gpu')}]\n"
    assert sorted(findings(text, **files)) == sorted(expected)


def test_a_long_chain_of_includes() -> None:
    files = {f"f{n}": f"version: 1\ninclude: f{n + 1}.yaml\n" for n in range(20)}
    assert findings("version: 1\ninclude: f0.yaml\n", **files) == [
        "f7.yaml:2:10: include: more than 8 files include each other"
    ]


HOSTS = f"""version: 1
gpus: [{rule("a")}, {rule("b", 2)}]
attachments: [{{domain: vm1, device: a}}, {{domain: vm2, device: b}}]
hosts:
  gpu1:
    gpus: [{rule("b", 9)}]
  "gpu*":
    gpus: [{rule("b", 8)}, {rule("c", 3)}]
    attachments: [{{domain: vm3, device: a}}, {{domain: vm4, device: c}}]
  other:
    gpus: [{rule("d", 4)}]
"""


@pytest.mark.parametrize(
    "hostname, rules, attachments",
    [
        ("desk", ["a1", "b2"], ["vm1 a", "vm2 b"]),
        ("gpu7", ["a1", "b8", "c3"], ["vm3 a", "vm2 b", "vm4 c"]),
        ("GPU1.example.org", ["a1", "b9", "c3"], ["vm3 a", "vm2 b", "vm4 c"]),
        ("other", ["a1", "b2", "d4"], ["vm1 a", "vm2 b"]),
    ],
)
def test_hosts(hostname: str, rules: list[str], attachments: list[str]) -> None:
    """The exact name has the last word, wherever it stands."""
    loaded = load(HOSTS, hostname)
    assert [f"{item.name}{item.select.slot}" for item in loaded.gpus] == rules
    assert [f"{item.domain} {item.device}" for item in loaded.attachments] == attachments


def test_hosts_entries_are_checked_on_every_host() -> None:
    text = f"version: 1\nhosts: {{other: {{gpus: [{rule('a')}, {rule('a')}]}}}}\n"
    assert findings(text) == ["2:79: the name 'a' is used twice: first at p.yaml:2:31"]


def test_an_address_of_an_attachment_gets_its_one_spelling() -> None:
    text = "version: 1\nattachments: [{domain: a, device: 1:0.0}]\n"
    assert load(text).attachments[0].device == "0000:01:00.0"


def test_what_cannot_be_read() -> None:
    def garbled(path: str) -> str:
        return b"version: \xff".decode()

    with pytest.raises(Usage, match=r"cannot read p\.yaml: byte 10 is no UTF-8 text"):
        load_profile("p.yaml", garbled, "h")
    with pytest.raises(Usage, match=r"cannot read q\.yaml: No such file or directory"):
        load_profile("q.yaml", read_from({}), "h")
    with pytest.raises(ProfileInvalid, match="is no readable text"):
        load('version: 1\ninclude: "a\\0b"\n')
