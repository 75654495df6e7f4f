"""What is wrong with a profile: every finding with its place, gathered and raised at once."""

from difflib import get_close_matches

from msgspec import Struct, field

from gpupass.errors import Usage
from gpupass.model.profile import Place

MOST = 100
_COMPARED = 300  # words that one suggestion is looked for among; it takes some 30 µs each


class ProfileInvalid(Usage):
    """A profile that cannot be used; `findings` are all its errors, each with its remedy or ""."""

    def __init__(self, name: str, findings: tuple[tuple[str, str], ...]) -> None:
        if len(findings) == 1:
            (message, remedy) = findings[0]
            super().__init__(f"cannot use {name}: {message}", remedy or None)
        else:
            super().__init__(f"cannot use {name}: {len(findings)} errors", reasons=findings)
        self.findings = findings


class Enough(Exception):
    """So much is wrong that looking further helps nobody."""


class Findings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Grows while a profile is read; the same finding at the same place counts once."""

    found: dict[tuple[str, int, int, str], str] = field(default_factory=dict)

    def add(self, place: Place, message: str, remedy: str = "") -> None:
        self.found.setdefault((place.file, place.line, place.column, message), remedy)
        if len(self.found) >= MOST:
            raise Enough

    def raise_for(self, name: str) -> None:
        """ProfileInvalid when there is one; files in the order they were read, each from top to bottom."""
        if not self.found:
            return
        files = list(dict.fromkeys(file for file, *_ in self.found))
        ordered = sorted(self.found, key=lambda at: (files.index(at[0]), at[1], at[2]))
        lines = [
            (f"{file}:{line}:{column}: {message}", self.found[file, line, column, message])
            for file, line, column, message in ordered
        ]
        if len(lines) >= MOST:
            lines.append((f"{name}: there may be more", "repair these first"))
        raise ProfileInvalid(name, tuple(lines))


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
