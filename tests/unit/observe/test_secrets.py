"""A record keeps of a domain what is read of it, and nothing else: not what nobody has thought of yet either."""

from pathlib import Path

import pytest

from gpupass.lending.domain_xml import parse_domain
from gpupass.observe.secrets import without_secrets

HOSTS = Path(__file__).parents[2] / "hosts"
# what stays of QEMU's arguments: tests/unit/lending/test_qemu_arguments.py
DOMAINS = [
    path for path in sorted(HOSTS.glob("*/gpupass/domains/*.xml")) if "qemu:arg" not in path.read_text()
]
SECRET = "s3cr3t"
LEAKS = {
    "title": f"<title>{SECRET}</title>",
    "description": f"<description>{SECRET}</description>",
    "kernel": f"<os><type>hvm</type><cmdline>root=/dev/sda luks.key={SECRET}</cmdline></os>",
    "init": f"<os><type>exe</type><initarg>{SECRET}</initarg><initenv name='TOKEN'>{SECRET}</initenv></os>",
    "disk": f"<devices><disk type='network'><source protocol='https' name='x' query='token={SECRET}'>"
    f"<cookies><cookie name='a'>{SECRET}</cookie></cookies><host name='u:{SECRET}@h'/></source>"
    f"<encryption><secret uuid='{SECRET}'/></encryption><serial>{SECRET}</serial></disk></devices>",
    "backing": f"<devices><disk type='file'><source file='a'/><backingStore><source file='b'><auth username="
    f"'{SECRET}'/></source></backingStore></disk></devices>",
    "graphics": f"<devices><graphics type='vnc' passwd='{SECRET}'><listen address='h'/></graphics></devices>",
    "metadata": f"<metadata><a xmlns='urn:a'>{SECRET}</a></metadata>",
    "firmware": f"<sysinfo type='fwcfg'><entry name='opt/a'>{SECRET}</entry></sysinfo>",
    "tomorrow's": f"<devices><vault key='v'><newKey>{SECRET}</newKey></vault></devices><new>{SECRET}</new>",
}


@pytest.mark.parametrize("name", LEAKS)
def test_no_secret_is_kept(name):
    kept = without_secrets(f"<domain type='kvm'><name>vm1</name>{LEAKS[name]}</domain>")
    assert "<name>vm1</name>" in kept and SECRET not in kept


@pytest.mark.parametrize("path", DOMAINS, ids=lambda path: path.parts[-4])
def test_what_is_read_is_kept(path):
    def read(xml):
        return parse_domain(
            name="a",
            uuid="u",
            state="running",
            autostart=False,
            live=xml,
            config=xml,
            job=None,
            resident=None,
        )

    text = path.read_text()
    assert read(without_secrets(text)) == read(text)
