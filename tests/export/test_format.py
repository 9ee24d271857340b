"""What a format is made of."""

from __future__ import annotations

from pathlib import Path

from e2gan.export.format import Check, bytes_of, require_packages
from tests.conftest import refused


def test_a_file_counts_with_its_companions_and_a_folder_with_all_in_it(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_bytes(b"12")
    (tmp_path / "model.bin").write_bytes(b"345")
    (tmp_path / "parity.json").write_bytes(b"6789")
    assert bytes_of(tmp_path / "model.xml") == 5
    (tmp_path / "m.mlpackage" / "Data").mkdir(parents=True)
    (tmp_path / "m.mlpackage" / "Data" / "weight.bin").write_bytes(b"1234567")
    assert bytes_of(tmp_path / "m.mlpackage") == 7


def test_a_missing_package_is_told_with_what_installs_it() -> None:
    told = refused(lambda: require_packages("Nothing", "nothing", "no_such_package"))
    assert told.startswith("the Nothing export needs no_such_package")
    assert told.endswith("pip install 'e2gan[nothing]'")


def test_a_check_says_why_it_failed() -> None:
    assert str(Check("a limit", True)) == "a limit: passed"
    assert str(Check("a limit", False, ["too large", "too deep"])) == "a limit: too large; too deep"
