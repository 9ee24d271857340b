from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from e2gan.export.preview import served


def test_a_folder_is_served_as_long_as_the_block_lasts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "index.html").write_text("the page")
    with served(tmp_path) as address:
        with urllib.request.urlopen(address) as answer:
            assert answer.read() == b"the page"
        with pytest.raises(urllib.error.HTTPError, match="404") as missing:
            urllib.request.urlopen(f"{address}nothing")
        missing.value.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address)
    assert capsys.readouterr().err == ""
