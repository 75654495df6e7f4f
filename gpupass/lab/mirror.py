"""Where this machine gets Debian packages from: its own apt sources decide, nothing is built in."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gpupass.lab.host import run_tool

_FORWARDED = (
    "Acquire::http",
    "Acquire::https",
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
    "Acquire::Retries",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


def parse_deb822(text: str) -> tuple[Source, ...]:
    found: list[Source] = []
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            if line[0] in " \t":
                fields[name] = fields.get(name, "") + " " + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        enabled = fields.get("enabled", "yes").lower() not in ("no", "false", "0")
        if not enabled or "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            found.append(
                Source(
                    uri=uri,
                    suites=tuple(fields.get("suites", "").split()),
                    components=tuple(fields.get("components", "").split()),
                )
            )
    return tuple(found)


def parse_one_line(text: str) -> tuple[Source, ...]:
    found: list[Source] = []
    for line in text.splitlines():
        words = re.sub(r"\[[^]]*\]", " ", line.split("#", 1)[0]).split()
        if len(words) >= 3 and words[0] == "deb":
            found.append(Source(uri=words[1], suites=(words[2],), components=tuple(words[3:])))
    return tuple(found)


def read_sources(etc_apt: Path) -> tuple[Source, ...]:
    found: list[Source] = []
    listed = sorted((etc_apt / "sources.list.d").glob("*"))
    for path in [etc_apt / "sources.list", *listed]:
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found.extend(parse_deb822(text) if path.suffix == ".sources" else parse_one_line(text))
    return tuple(found)


def debian_mirror(sources: tuple[Source, ...], os_id: str) -> str | None:
    """The archive this machine takes Debian's `main` from; None leaves the choice to mmdebstrap."""
    if os_id != "debian":
        return None
    for source in sources:
        plain = [suite for suite in source.suites if re.fullmatch(r"[a-z]+/?", suite)]
        if plain and "main" in source.components and "security" not in source.uri:
            return source.uri
    return None


def os_id(os_release: Path) -> str:
    match = re.search(r'^ID="?([a-z0-9._-]+)"?$', os_release.read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else ""


def find_mirror(root: Path = Path("/")) -> str | None:
    return debian_mirror(read_sources(root / "etc/apt"), os_id(root / "etc/os-release"))


def apt_options() -> tuple[str, ...]:
    """This machine's download settings (proxy, clock checks), for mmdebstrap, which reads none of them."""
    try:
        dump = run_tool(["apt-config", "dump"]).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return forwarded_options(dump)


def forwarded_options(dump: str) -> tuple[str, ...]:
    wanted: list[str] = []
    for line in dump.splitlines():
        match = re.fullmatch(r'(\S+) "(.*)";', line.strip())
        if match and match[2] and any(match[1] == p or match[1].startswith(p + "::") for p in _FORWARDED):
            wanted.append(f'{match[1]} "{match[2]}"')
    return tuple(wanted)
