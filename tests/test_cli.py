from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import e2gan
from e2gan.cli import COMMANDS, main
from e2gan.core.images import write_png
from tests.conftest import Project


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "e2gan", *arguments], capture_output=True, text=True, check=False)


def test_the_public_names_are_pinned_and_there() -> None:
    assert len(e2gan.__all__) == len(set(e2gan.__all__)) == 66
    for name in e2gan.__all__:
        assert getattr(e2gan, name) is not None
    with pytest.raises(AttributeError, match="attribute nothing"):
        _ = e2gan.nothing  # pyright: ignore[reportAttributeAccessIssue]


def test_help_answers_at_once_and_without_torch() -> None:
    run("--help")  # the file cache
    start = time.perf_counter()
    answer = run("--help")
    seconds = time.perf_counter() - start
    assert answer.returncode == 0
    assert all(f"  {name} " in answer.stdout for name in COMMANDS)
    loaded = "import sys, e2gan.cli; e2gan.cli.main(['base', '--pairs', 'a', '--out', 'b', '--dry-run']); "
    loaded += "sys.exit(any(m in sys.modules for m in ('torch', 'peft', 'scipy', 'skimage')))"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=False).returncode == 0
    assert seconds < 5  # far above what it takes: this is no benchmark, but an import of torch would show


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_its_settings(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "--dry-run" in shown
    assert "--json" in shown


@pytest.mark.parametrize(
    "arguments", ["adapt --recipe quick --base nowhere", "adapt --ranks nowhere.json", "scratch --recipe huge"]
)
def test_settings_are_explained_whatever_is_wrong_with_one(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*arguments.split(), "--help"])
    assert stop.value.code == 0
    out, err = capsys.readouterr()
    assert "--pairs" in out
    assert err.startswith("e2gan: ")
    assert err.endswith("; the defaults below are those without a recipe\n")


def test_dry_run_prints_the_resolved_settings(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "base",
        "--pairs",
        "a",
        "b",
        "--out",
        "o",
        "--preset",
        "paper",
        "--norm",
        "batch",
        "--epochs",
        "3",
        "--dry-run",
    ]
    assert main(arguments) == 0
    settings = json.loads(capsys.readouterr().out)
    assert settings["pairs"] == ["a", "b"]
    assert settings["generator"]["skip"] is False  # of the preset
    assert settings["generator"]["norm"] == "batch"  # over it
    assert settings["training"]["epochs"] == 3
    assert settings["training"]["lr"] == 2e-4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("nonsense", "unknown command 'nonsense'"),
        ("base", "missing: --pairs, --out"),
        ("photos x", "missing: --out"),
        ("base --pairs a --out b --epochs x", "--epochs"),
        ("base --pairs a --out b --colour red", "unknown options: --colour"),
        ("base --pairs a --out b --preset best", "invalid choice 'best'"),
        ("cost --device cuda:99", "not on this machine"),
        ("adapt --pairs a --out b --base nowhere", "nowhere is no base"),
        ("cost --model nowhere", "nowhere is no model"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(arguments: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 2
    answer = capsys.readouterr()
    assert answer.out == ""
    assert words in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "name", "values"),
    [
        ("export --adapter A --adapter B --out o", "adapter", ["A", "B"]),
        ("export --adapter A B --out o --adapter=C --size 64", "adapter", ["A", "B", "C"]),
        ("edit p.jpg --adapter A --adapter B --out o", "adapter", ["A", "B"]),
        ("base --pairs A --steps 3 --pairs B C --out o", "pairs", ["A", "B", "C"]),
    ],
)
def test_a_list_may_be_given_in_parts(
    arguments: str, name: str, values: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments.split(), "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)[name] == values


def test_json_is_alone_on_standard_output() -> None:
    answer = run(*["cost", "--width", "8", "--heads", "2", "--size", "32", "--repeat", "1", "--json"])
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["size"] == 32


WAITS = """
import os, sys, time
from pathlib import Path
Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(60)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM and SIGHUP are POSIX's")
@pytest.mark.parametrize(("sent", "status"), [("TERM", 143), ("HUP", 129)])
@pytest.mark.slow
def test_a_signal_stops_what_was_started_and_clears_up(sent: str, status: int, tmp_path: Path) -> None:
    (tmp_path / "camera").mkdir()
    for i in range(8):
        write_png(tmp_path / "camera" / f"{i}.png", np.full((64, 64, 3), 30 * i, np.uint8))
    assert run("photos", str(tmp_path / "camera"), "--out", str(tmp_path / "photos"), "--size", "64").returncode == 0
    (tmp_path / "waits.py").write_text(WAITS)
    (tmp_path / "temporary").mkdir()
    pid = tmp_path / "pid"
    process = subprocess.Popen(
        [sys.executable, "-m", "e2gan", "pairs", "--photos", tmp_path / "photos", "--concept", "autumn"]
        + ["--out", tmp_path / "pairs", "--teacher", f"command:{sys.executable} {tmp_path}/waits.py {pid}"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path / "temporary")},
        # As nohup does it: what is ignored stays ignored.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN if sent == "TERM" else signal.SIG_DFL),
    )
    until = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    assert list((tmp_path / "temporary").iterdir())
    process.send_signal(signal.SIGHUP)
    if sent == "TERM":
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)  # as `timeout` sends two
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert errors == "e2gan: stopped; the same command goes on from where it can\n"
    assert not list((tmp_path / "temporary").iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("adapt --pairs {sepia} --out {tmp}/x --base {photos}", "is no base"),
        ("adapt --pairs {photos} --out {tmp}/x --base {base}", "not a pair set"),
        ("adapt --pairs {tmp}/nothing --out {tmp}/x --base {base}", "no pair set"),
        ("adapt --pairs {sepia} --out {base} --base {base}", "holds the output of 'base'"),
        ("adapt --pairs {sepia} --out {sepia}/config.json --base {base}", "is a file"),
        ("adapt --pairs {sepia} --out {tmp}/x --base {base} --batch 500", "--batch 500"),
        ("base --pairs {sepia} {photos} --out {tmp}/x", "not a pair set"),
        ("evaluate --pairs {sepia} --base {base} --adapter {model}", "is no adapter"),
        ("evaluate --pairs {sepia} --model {adapter}", "is no model"),
    ],
)
def test_wrong_folders_are_told_in_one_line(
    project: Project, tmp_path: Path, arguments: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.format(tmp=tmp_path, **{k: str(v) for k, v in vars(project).items()}).split()) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("encoding", ["ascii", "cp437", "cp932"])
def test_what_the_terminal_cannot_show_ends_no_run(encoding: str) -> None:
    command = [sys.executable, "-m", "e2gan", "--help"]
    answer = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": encoding}, check=False)
    assert answer.returncode == 0
    assert b"Traceback" not in answer.stderr


def test_json_is_json_in_any_encoding() -> None:
    command = [sys.executable, "-m", "e2gan", "pairs", "--concept", "in d\u00e4mmerung", "--dry-run", "--out", "x"]
    command += ["--photos", "y", "--json"]
    answer = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"}, check=False)
    assert json.loads(answer.stdout.decode("ascii"))["concept"] == "in d\u00e4mmerung"


def test_the_home_folder_is_known_where_the_shell_leaves_its_sign(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapt", "--pairs=~/p", "--out=~/a", "--dry-run"]) == 0
    settings = json.loads(capsys.readouterr().out)
    assert settings["pairs"] == str(Path.home() / "p")
    assert settings["out"] == str(Path.home() / "a")


def test_only_the_base_runs_in_the_processes_of_torchrun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first process refuses for all, before anything is read; a group of one is no group."""
    for name, value in (("WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    for number, lines in (("0", 1), ("1", 0)):
        monkeypatch.setenv("RANK", number)
        for arguments in (["adapt", "--pairs", "x"], ["sweep"], ["--help"], []):
            assert main(arguments) == 2
            out, err = capsys.readouterr()
            assert (out, err.count("\n")) == ("", lines)
            assert not lines or "in 2 processes: only base runs so" in err
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    assert main(["--version"]) == 0
