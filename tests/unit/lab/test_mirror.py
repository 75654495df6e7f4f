"""The mirror comes from this machine's apt sources, whichever way they are written."""

from pathlib import Path

import pytest

from gpupass.lab import mirror

SOURCES = Path(__file__).parent / "sources"
ARCHIVE = "http://mirror.invalid/debian"


def _root(tmp_path: Path, name: str, os_id: str) -> Path:
    listed = tmp_path / "etc/apt/sources.list.d"
    listed.mkdir(parents=True)
    (listed / name).write_bytes((SOURCES / name).read_bytes())
    (tmp_path / "etc/os-release").write_text(f'NAME="x"\nID={os_id}\nVERSION_ID="12"\n')
    return tmp_path


@pytest.mark.parametrize("name", ["bookworm.sources", "one-line.list"])
def test_archive_is_found(tmp_path: Path, name: str) -> None:
    assert mirror.find_mirror(_root(tmp_path, name, "debian")) == ARCHIVE


def test_elsewhere_mmdebstrap_chooses(tmp_path: Path) -> None:
    assert mirror.find_mirror(_root(tmp_path, "one-line.list", "ubuntu")) is None


def test_no_sources_at_all(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('ID="debian"\n')
    assert mirror.find_mirror(tmp_path) is None


def test_download_settings_are_forwarded_and_nothing_else() -> None:
    dump = (
        'Acquire "";\nAcquire::http::Proxy "http://proxy.invalid:3128";\nAcquire::Check-Date "false";\n'
        'Acquire::cdrom::mount "/media/cdrom/";\nAPT::Architecture "amd64";\nAcquire::https "";\n'
    )
    assert mirror.forwarded_options(dump) == (
        'Acquire::http::Proxy "http://proxy.invalid:3128"',
        'Acquire::Check-Date "false"',
    )
