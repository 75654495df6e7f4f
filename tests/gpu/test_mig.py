"""On a real NVIDIA GPU, reading only: what gpupass says of it and of MIG is what nvidia-smi says.

GPUPASS_GPU=1 runs it, and then nothing here may be skipped. It changes no mode, makes no instance, resets nothing.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.gpu import smi

pytestmark = pytest.mark.gpu


def nvidia_smi(*arguments):
    done = subprocess.run(
        ["nvidia-smi", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


def gpupass(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "gpupass", *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def queried():
    """By address, what `nvidia-smi -q` says."""
    if shutil.which("nvidia-smi") is None:
        pytest.skip("nvidia-smi is not installed: this needs a real NVIDIA GPU")
    status, text = nvidia_smi("-q")
    if status != 0 or not smi.addresses(text):
        pytest.skip(f"nvidia-smi finds no GPU: {text.strip()[:200]}")
    return smi.sections(text)


@pytest.fixture(scope="module")
def shown(queried):
    """By address, what `gpupass show` says."""
    return {address: gpupass("show", address)["device"] for address in queried}


def capable(queried):
    return [address for address, told in queried.items() if smi.value(told, "MIG Mode", "Current") != "N/A"]


def same_memory(mib, text):
    """Within 2 %: drivers differ in what they hold back, and in what they say of it."""
    return abs(mib - float(text.split()[0])) <= 0.02 * mib


def test_every_gpu_is_listed(queried):
    listed = {device["address"]: device for device in gpupass("list")["devices"]}
    assert set(queried) <= set(listed)
    for address, told in queried.items():
        nvidia = listed[address]["nvidia"]
        assert nvidia["uuid"] == smi.value(told, "GPU UUID")
        assert nvidia["minor"] == int(smi.value(told, "Minor Number"))
        assert listed[address]["driver"] == "nvidia"


def test_show(queried, shown):
    for address, told in queried.items():
        nvidia = shown[address]["nvidia"]
        serial = smi.value(told, "Serial Number")
        assert (nvidia["serial"] or "N/A") in (serial, "0" if serial == "N/A" else serial)
        assert nvidia["persistence"] == (smi.value(told, "Persistence Mode") == "Enabled")
        assert same_memory(nvidia["memory_total"], smi.value(told, "FB Memory Usage", "Total"))


def test_capability_and_mode(queried, shown):
    """A GPU without MIG is said to have none."""
    for address, told in queried.items():
        nvidia = shown[address]["nvidia"]
        now, pending = (smi.value(told, "MIG Mode", which) for which in ("Current", "Pending"))
        if now == "N/A":
            assert nvidia["mig"] is None and nvidia["cut"] is None and nvidia["cut_unseen"] == ""
        else:
            assert nvidia["cut"]["on"] == (now == "Enabled")
            assert nvidia["cut"]["pending"] == (pending == "Enabled")


def test_a_layout_for_a_gpu_without_mig_is_refused(queried, shown, tmp_path):
    for address in set(queried) - set(capable(queried)):
        assert shown[address]["nvidia"]["cut"] is None
        file = tmp_path / "mig.yaml"
        file.write_text(
            f"version: 1\ngpus: [{{name: a, select: {{address: '{address}'}}, use: mig, layout: balanced}}]\n"
        )
        planned = subprocess.run(
            [sys.executable, "-m", "gpupass", "plan", str(file)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert planned.returncode == 4 and "has no MIG" in planned.stdout


def test_profiles_and_places(queried, shown):
    """`-lgip` and `-lgipp` list GPUs in MIG mode, newer drivers all; of others they say there is none."""
    if os.geteuid() != 0:
        pytest.skip("placements are for root: run it with sudo")
    numbers = {address: shown[address]["nvidia"]["minor"] for address in capable(queried)}
    order = sorted(queried)
    status, text = nvidia_smi("mig", "-lgip")
    listed, places = smi.profiles(text), smi.placements(nvidia_smi("mig", "-lgipp")[1])
    if not listed:
        assert status != 0 or "No MIG" in text or not numbers, text
    for address in numbers:
        told = shown[address]["nvidia"]["cut"]["gpu"]["profiles"]
        assert told, "a MIG-capable GPU without a profile"
        number = order.index(address)
        if number in listed:
            ours = {(p["name"], p["id"]) for p in told}
            assert {(name, id_) for name, id_, _, _ in listed[number]} == ours
            sizes = {p["id"]: p["memory"] for p in told}
            assert all(abs(sizes[id_] / 1024 - gib) < 0.1 for _, id_, _, gib in listed[number])
        if number in places:
            ours = {
                p["id"]: (tuple(x["start"] for x in p["placements"]), p["placements"][0]["size"])
                for p in told
            }
            assert places[number] == ours


def test_instances(queried, shown):
    if os.geteuid() != 0:
        pytest.skip("instances are for root: run it with sudo")
    order = sorted(queried)
    listed = smi.instances(nvidia_smi("mig", "-lgi")[1])
    for address in capable(queried):
        cut = shown[address]["nvidia"]["cut"]
        ids = {p["name"]: p["id"] for p in cut["gpu"]["profiles"]}
        ours = sorted(
            (
                one["profile"],
                ids[one["profile"]],
                one["id"],
                one["placement"]["start"],
                one["placement"]["size"],
            )
            for one in cut["gpu"]["instances"]
        )
        assert ours == sorted(listed.get(order.index(address), []))


def test_mig_devices_have_the_uuids_that_nvidia_smi_lists(queried, shown):
    _, text = nvidia_smi("-L")
    if os.geteuid() != 0:
        pytest.skip("instances are for root: run it with sudo")
    uuids = {
        part["uuid"]
        for address in capable(queried)
        for one in shown[address]["nvidia"]["cut"]["gpu"]["instances"]
        for part in one["compute"]
    }
    assert {word.rstrip(")") for word in text.split() if word.startswith("MIG-")} == uuids


def test_exported_is_already_so(queried, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("an export of MIG is for root: run it with sudo")
    exported = subprocess.run(
        [sys.executable, "-m", "gpupass", "export"], capture_output=True, text=True, timeout=120, check=True
    )
    file = tmp_path / "host.yaml"
    file.write_text(exported.stdout)
    checked = subprocess.run(
        [sys.executable, "-m", "gpupass", "check", str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
