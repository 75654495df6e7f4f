"""File by file, included ones first, then what is different on this host → one Profile, or all its errors."""

import posixpath
from collections.abc import Callable, Hashable
from fnmatch import fnmatchcase

from msgspec.structs import replace

from gpupass.errors import Usage
from gpupass.model.address import parse_address
from gpupass.model.profile import VERSION, Attachment, Profile
from gpupass.profiles.check import check_attachments, check_rules, check_standing, device_of
from gpupass.profiles.document import Document
from gpupass.profiles.findings import Enough, Findings, quoted
from gpupass.profiles.nodes import Map, Node, Scalar, Tag
from gpupass.profiles.shape import read_part
from gpupass.profiles.tree import read_tree
from gpupass.profiles.written import Part, Written, build

Read = Callable[[str], str]
CHAIN = 8
FILES = 64


def load_profile(name: str, read: Read, hostname: str) -> Profile:
    """The profile a file means for a host; ProfileInvalid holds every error of it and of what it includes."""
    try:
        text = read(name)
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"cannot read {name}: {why_unreadable(error)}") from None
    findings = Findings()
    rules: tuple[Part, ...] = ()
    attachments: tuple[Part, ...] = ()
    containers: str | None = None
    try:
        documents = _Reader(read, findings).documents(name, text)
        containers = _containers(documents, hostname)
        rules, attachments = _for_host(documents, hostname, findings)
        check_rules(rules, findings)
        check_standing(rules, findings)
        check_attachments(attachments, rules, findings)
    except Enough:
        pass
    findings.raise_for(name)
    return Profile(
        gpus=tuple(map(build, rules)),
        attachments=tuple(_attachment(part) for part in attachments),
        containers=containers,
    )


def _attachment(part: Part) -> Attachment:
    """Addresses in their one spelling."""
    device = part.fields["device"]
    spelled = Written(place=device.place, value=parse_address(device.value) or device.value)
    attachment: Attachment = build(replace(part, fields={**part.fields, "device": spelled}))
    return attachment


class _Reader:
    """Reads each file once, however often it is included."""

    def __init__(self, read: Read, findings: Findings) -> None:
        self.read = read
        self.findings = findings
        self.seen: set[str] = set()

    def documents(self, name: str, text: str, chain: tuple[str, ...] = ()) -> tuple[Part, ...]:
        """The file behind those it includes."""
        self.seen.add(posixpath.normpath(name))
        node = read_tree(name, text, self.findings)
        if node is not None:
            self.findings.trees[name] = node
        if node is None or not _is_our_version(node, self.findings):
            return ()
        part = read_part(Document, node, self.findings, "the profile")
        if part is None:
            return ()
        chain = (*chain, name)
        included = [self._include(item, chain) for item in part.get("include") or ()]
        return (*(document for documents in included for document in documents), part)

    def _include(self, item: Written, chain: tuple[str, ...]) -> tuple[Part, ...]:
        name = posixpath.join(posixpath.dirname(chain[-1]), item.value)
        top = posixpath.dirname(chain[0])
        if not is_below(name, top):
            self.findings.add(item.place, f"include: {item.value} is not below {top or 'this directory'}")
            return ()
        known = [posixpath.normpath(other) for other in chain]
        if posixpath.normpath(name) in known:
            circle = " → ".join((*chain[known.index(posixpath.normpath(name)) :], name))
            self.findings.add(item.place, f"include: {item.value} includes itself: {circle}")
        elif posixpath.normpath(name) in self.seen:
            return ()
        elif len(chain) > CHAIN:
            self.findings.add(item.place, f"include: more than {CHAIN} files include each other")
        elif len(self.seen) >= FILES:
            self.findings.add(item.place, f"include: more than {FILES} files")
        else:
            try:
                text = self.read(name)
            except (OSError, UnicodeDecodeError) as error:
                self.findings.add(item.place, f"include: cannot read {name}: {why_unreadable(error)}")
                return ()
            return self.documents(name, text, chain)
        return ()


def is_below(name: str, directory: str) -> bool:
    """As it is written: whoever may have a profile read may not have any file read."""
    relative = posixpath.relpath(posixpath.join("/-", name), posixpath.join("/-", directory))
    return relative.partition("/")[0] != ".."


def why_unreadable(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is no UTF-8 text"
    return error.strerror or str(error)


def _is_our_version(node: Node, findings: Findings) -> bool:
    """Of another version nothing else can be said; that it is missing or no number is said by the shape."""
    entries = node.entries if isinstance(node, Map) else ()
    value = next((value for name, value in entries if name.text == "version"), None)
    if not isinstance(value, Scalar) or value.tag not in (Tag.NUMBER, Tag.FRACTION):
        return True
    if value.text == str(VERSION):
        return True
    message = f"version {quoted(value.text)[1:-1]} is not known: this gpupass reads version {VERSION}"
    findings.add(value.place, message)
    return False


def _for_host(
    documents: tuple[Part, ...], hostname: str, findings: Findings
) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """All rules and attachments in order, changed by the `hosts` entries that match."""
    rules = [rule for document in documents for rule in document.parts("gpus")]
    attachments = [item for document in documents for item in document.parts("attachments")]
    entries = [entry for document in documents for entry in document.parts("hosts")]
    check_rules(tuple(rules), findings)
    for entry in entries:
        if (override := entry.get("override")) is not None:
            check_rules(override.parts("gpus"), findings)
    for override in _matching(entries, hostname):
        rules = _replaced(rules, override.parts("gpus"), _name_of)
        attachments = _replaced(attachments, override.parts("attachments"), device_of)
    return tuple(rules), tuple(attachments)


def _containers(documents: tuple[Part, ...], hostname: str) -> str | None:
    """The last one wins; those of the host come last."""
    entries = [entry for document in documents for entry in document.parts("hosts")]
    said = [part.get("containers") for part in (*documents, *_matching(entries, hostname))]
    return next((word for word in reversed(said) if word is not None), None)


def _matching(entries: list[Part], hostname: str) -> list[Part]:
    """Globs before exact names, so that the exact one has the last word."""
    names = (hostname.lower(), hostname.lower().partition(".")[0])
    usable = [
        entry for entry in entries if entry.get("host") is not None and entry.get("override") is not None
    ]
    exact = [entry for entry in usable if entry.get("host").lower() in names]
    globs = [
        entry
        for entry in usable
        if entry not in exact and any(fnmatchcase(name, entry.get("host").lower()) for name in names)
    ]
    return [entry.get("override") for entry in (*globs, *exact)]


def _replaced(old: list[Part], new: tuple[Part, ...], key: Callable[[Part], Hashable]) -> list[Part]:
    """Those of `new` in the place of the same ones of `old`, the others behind."""
    instead: dict[Hashable, list[Part]] = {}
    for part in new:
        if key(part) is not None:
            instead.setdefault(key(part), []).append(part)
    kept: list[Part] = []
    for part in old:
        found = instead.get(key(part), [part]) if key(part) is not None else [part]
        kept += [one for one in found if all(one is not other for other in kept)]
    return kept + [part for part in new if all(part is not one for one in kept)]


def _name_of(rule: Part) -> Hashable:
    name: str | None = rule.get("name")
    return name
