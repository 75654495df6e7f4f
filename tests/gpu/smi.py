"""What nvidia-smi prints of MIG → data, to hold gpupass's own answers against."""

import re

_BUS = re.compile(r"^GPU ([0-9A-Fa-f]{8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-7])$")


def addresses(text: str) -> list[str]:
    """`-q`: every GPU's address as sysfs spells it."""
    found = [match[1] for line in text.splitlines() if (match := _BUS.match(line))]
    return [bus[4:].lower() for bus in found]


def sections(text: str) -> dict[str, str]:
    """`-q`: by address, everything said of that GPU."""
    parts = re.split(r"^GPU (?=[0-9A-Fa-f]{8}:)", text, flags=re.MULTILINE)[1:]
    return {part[4:16].lower(): part for part in parts}


def value(section: str, *path: str) -> str:
    """The value below nested headings, "Current" below "MIG Mode"; "" when there is none."""
    lines, at = section.splitlines(), 0
    for depth, name in enumerate(path):
        at = next(
            (n for n in range(at, len(lines)) if re.match(rf"\s*{re.escape(name)}\s*(:|$)", lines[n])),
            len(lines),
        )
        if depth == len(path) - 1 and at < len(lines):
            return lines[at].partition(":")[2].strip()
        at += 1
    return ""


def profiles(text: str) -> dict[int, list[tuple[str, int, int, float]]]:
    """`mig -lgip`: by GPU number (name, id, most, GiB)."""
    found: dict[int, list[tuple[str, int, int, float]]] = {}
    for line in text.splitlines():
        row = re.match(r"\|\s+(\d+)\s+MIG (\S+)\s+(\d+)\s+\d+/(\d+)\s+([\d.]+)", line)
        if row:
            found.setdefault(int(row[1]), []).append((row[2], int(row[3]), int(row[4]), float(row[5])))
    return found


def placements(text: str) -> dict[int, dict[int, tuple[tuple[int, ...], int]]]:
    """`mig -lgipp`: by GPU number and profile id (starts, size)."""
    found: dict[int, dict[int, tuple[tuple[int, ...], int]]] = {}
    for line in text.splitlines():
        row = re.match(r"GPU\s+(\d+) Profile ID\s+(\d+) Placements?\s*:\s*\{([\d,]+)\}:(\d+)", line)
        if row:
            starts = tuple(int(start) for start in row[3].split(","))
            found.setdefault(int(row[1]), {})[int(row[2])] = (starts, int(row[4]))
    return found


def instances(text: str) -> dict[int, list[tuple[str, int, int, int, int]]]:
    """`mig -lgi`: by GPU number (profile, profile id, id, start, size)."""
    found: dict[int, list[tuple[str, int, int, int, int]]] = {}
    for line in text.splitlines():
        row = re.match(r"\|\s+(\d+)\s+MIG (\S+)\s+(\d+)\s+(\d+)\s+(\d+):(\d+)", line)
        if row:
            told = (row[2], *(int(row[n]) for n in range(3, 7)))
            found.setdefault(int(row[1]), []).append(told)  # type: ignore[arg-type]
    return found
