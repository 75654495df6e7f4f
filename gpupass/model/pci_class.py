"""PCI class codes in words, for the classes an operator meets beside a GPU."""

_WORDS = {
    0x0101: "IDE controller",
    0x0104: "RAID controller",
    0x0106: "SATA controller",
    0x0107: "SAS controller",
    0x0108: "NVMe drive",
    0x0100: "SCSI controller",
    0x0200: "Ethernet controller",
    0x0207: "InfiniBand controller",
    0x0280: "network controller",
    0x0300: "VGA controller",
    0x0302: "3D controller",
    0x0380: "display controller",
    0x0403: "audio device",
    0x0500: "memory",
    0x0580: "memory controller",
    0x0600: "host bridge",
    0x0601: "ISA bridge",
    0x0604: "PCI bridge",
    0x0680: "bridge device",
    0x0780: "communication controller",
    0x0805: "SD host controller",
    0x0880: "system peripheral",
    0x0B40: "co-processor",
    0x0C03: "USB controller",
    0x0C04: "Fibre Channel",
    0x0C05: "SMBus",
    0x0C80: "serial bus controller",
    0x1180: "signal processing controller",
    0x1200: "processing accelerator",
}


def class_words(class_code: int) -> str:
    """Of the 24-bit class; its number where there are no words."""
    return _WORDS.get(class_code >> 8, f"class {class_code >> 8:04x}")
