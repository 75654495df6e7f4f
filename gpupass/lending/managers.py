"""Who else manages a domain, by its metadata: it would not know of a device that comes or goes; pure."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from gpupass.model.domain import Domain, Manager
from gpupass.plan import Finding

# By the namespaces of nova's virt/libvirt/config.py, vdsm's common/xmlconstants.py, KubeVirt's
# virt-launcher api/schema.go and OpenNebula's LibVirtXML driver.
_NAMESPACES = {
    "http://openstack.org/xmlns/libvirt/nova/": Manager.NOVA,
    "http://ovirt.org/vm": Manager.OVIRT,
    "http://kubevirt.io": Manager.KUBEVIRT,
    "http://opennebula.org/xmlns/": Manager.OPENNEBULA,
}
_WAYS = {
    Manager.NOVA: "OpenStack gives it one by pci_passthrough:alias or resources: of a flavor",
    Manager.OVIRT: "oVirt gives it one as a host device of the virtual machine",
    Manager.KUBEVIRT: "KubeVirt gives it one by gpus or hostDevices of the VirtualMachine",
    Manager.OPENNEBULA: "OpenNebula gives it one by PCI of the template",
}


def manager_of(root: Element) -> Manager | None:
    """None: nobody that is known."""
    for element in root.iterfind("metadata/*"):
        namespace = element.tag.partition("}")[0].removeprefix("{")
        for start, name in _NAMESPACES.items():
            if namespace.startswith(start):
                return name
    return None


def even_of_others(domain: Domain | None, even_of: Manager | None) -> Iterator[Finding]:
    """It is asked first, unless somebody says that it need not know."""
    if domain is not None and domain.manager is not None and domain.manager is not even_of:
        yield Finding(
            message=f"{domain.name} is managed by {domain.manager}, which would not know of it",
            remedy=f"{_WAYS[domain.manager]}; or: --even-of {domain.manager}",
        )
