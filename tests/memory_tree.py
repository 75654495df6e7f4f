"""The files of an invented machine in memory: a thousand machines a second, and nothing to clean up."""

import os
from copy import deepcopy
from dataclasses import dataclass, replace

from tests.host_tree import Function, HostTree


@dataclass(frozen=True)
class Link:
    target: str


class Files:
    """A file system of dictionaries: path → bytes, Link, or the names in a directory."""

    def __init__(self, nodes: dict[str, bytes | Link | set[str]] | None = None) -> None:
        self._nodes = nodes if nodes is not None else {"": set()}
        self._real: dict[str, str] = {}

    def __deepcopy__(self, memo: dict[int, object]) -> "Files":
        return self.copy()

    def copy(self) -> "Files":
        return Files({path: set(node) if type(node) is set else node for path, node in self._nodes.items()})

    def put(self, path: str, node: bytes | Link | set[str]) -> None:
        parent, _, name = path.rpartition("/")
        parent = self.real(parent)
        if parent not in self._nodes:
            self.put(parent, set())
        names = self._nodes[parent]
        assert isinstance(names, set), f"{parent} is no directory"
        names.add(name)
        if isinstance(node, Link):
            self._real.clear()
        self._nodes[f"{parent}/{name}"] = node

    def remove(self, path: str) -> None:
        """With all that is below."""
        parent, _, name = path.rpartition("/")
        parent = self.real(parent)
        node = self._nodes.get(f"{parent}/{name}")
        for below in sorted(node) if isinstance(node, set) else ():
            self.remove(f"{parent}/{name}/{below}")
        self._nodes.pop(f"{parent}/{name}", None)
        if node is not None:
            self._nodes[parent].discard(name)
        if isinstance(node, Link):
            self._real.clear()

    def real(self, path: str) -> str:
        """The path behind all links; it need not exist."""
        known = self._real.get(path)
        if known is None:
            known = self._real[path] = self._walk(path)
        return known

    def _walk(self, path: str) -> str:
        here = ""
        for part in path.split("/")[1:]:
            node = self._nodes.get(f"{here}/{part}")
            if isinstance(node, Link):
                here = self.real(os.path.normpath(os.path.join(here or "/", node.target)))  # noqa: PTH118
            else:
                here = f"{here}/{part}"
        return here

    def get(self, path: str) -> bytes | set[str] | None:
        return self._nodes.get(self.real(path))

    def target(self, path: str) -> str | None:
        parent, _, name = path.rpartition("/")
        node = self._nodes.get(f"{self.real(parent)}/{name}")
        return node.target if isinstance(node, Link) else None


class MemoryTree(HostTree):
    """HostTree's functions, disks and links, kept in Files."""

    def __init__(self) -> None:
        super().__init__(None)
        self.files = Files()

    def __deepcopy__(self, memo: dict[int, object]) -> "MemoryTree":
        twin = MemoryTree()
        twin.files = deepcopy(self.files, memo)
        twin._paths = self._paths.copy()
        return twin

    def file(self, path: str, text: str | bytes) -> None:
        self.files.put(path, text.encode() if isinstance(text, str) else text)

    def link(self, path: str, target: str) -> None:
        self.files.put(path, Link(os.path.relpath(target, path.rpartition("/")[0])))

    def _links(self, path: str, function: Function) -> None:
        super()._links(path, replace(function, physfn=None))
        if function.physfn:
            above = self.path(function.physfn)
            self.link(f"{path}/physfn", above)
            number = sum(name.startswith("virtfn") for name in self.files.get(above))
            self.link(f"{above}/virtfn{number}", path)
