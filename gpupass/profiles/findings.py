"""What is wrong with a profile: every finding with its place, gathered and raised at once."""

from difflib import get_close_matches

from msgspec import Struct, field

from gpupass.errors import Spot, Usage
from gpupass.model.profile import Place
from gpupass.profiles.nodes import Node, path_to

MOST = 100
_COMPARED = 300  # words that one suggestion is looked for among; it takes some 30 µs each


class ProfileInvalid(Usage):
    """A profile that cannot be used; `findings` are all its errors, each with its remedy or ""."""

    kind = "profile-invalid"

    def __init__(
        self, name: str, findings: tuple[tuple[str, str], ...], spots: tuple[Spot | None, ...]
    ) -> None:
        if len(findings) == 1:
            (message, remedy) = findings[0]
            super().__init__(f"cannot use {name}: {message}", remedy or None)
        else:
            super().__init__(f"cannot use {name}: {len(findings)} errors", reasons=findings)
        self.findings = findings
        self.spots = spots


class Enough(Exception):
    """So much is wrong that looking further helps nobody."""


class Findings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Grows while a profile is read; the same finding at the same place counts once."""

    found: dict[tuple[str, int, int, str], tuple[str, Place]] = field(default_factory=dict)
    trees: dict[str, Node] = field(default_factory=dict)  # of the files that could be read, by name

    def add(self, place: Place, message: str, remedy: str = "") -> None:
        self.found.setdefault((place.file, place.line, place.column, message), (remedy, place))
        if len(self.found) >= MOST:
            raise Enough

    def raise_for(self, name: str) -> None:
        """ProfileInvalid when there is one; files in the order they were read, each from top to bottom."""
        if not self.found:
            return
        files = list(dict.fromkeys(file for file, *_ in self.found))
        ordered = sorted(self.found, key=lambda at: (files.index(at[0]), at[1], at[2]))
        lines = [
            (f"{file}:{line}:{column}: {message}", self.found[file, line, column, message][0])
            for file, line, column, message in ordered
        ]
        spots: list[Spot | None] = [self._spot(self.found[at][1]) for at in ordered]
        if len(lines) >= MOST:
            lines.append((f"{name}: there may be more", "repair these first"))
            spots.append(None)
        raise ProfileInvalid(name, tuple(lines), tuple(spots))

    def _spot(self, place: Place) -> Spot:
        tree = self.trees.get(place.file)
        path = path_to(place, tree) if tree is not None else None
        return Spot(path=path, file=place.file, line=place.line, column=place.column)


def quoted(text: str) -> str:
    """A text of the file within a message, neither long nor with a line break."""
    shown = text if len(text) <= 60 else text[:59] + "…"
    return f"'{shown}'" if shown.isprintable() else ascii(shown)


def nearest(word: str, known: dict[str, str]) -> str:
    """The end of a message that suggests a word, or ""; `known` maps spellings to the right word."""
    if len(known) > _COMPARED:
        return ""
    folded = {fold(spelling): right for spelling, right in known.items()}
    close = get_close_matches(fold(word[:80]), folded, n=1)
    return f", did you mean '{folded[close[0]]}'?" if close else ""


def fold(word: str) -> str:
    return word.lower().replace("-", "").replace("_", "").replace(" ", "")
