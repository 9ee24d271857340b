"""A program of the user's as a teacher: what it edits, how it ends, when it is stopped, and what it says."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from e2gan.config import PairsConfig
from e2gan.core.errors import InputError
from e2gan.core.images import Pixels, read_image, resize
from e2gan.teachers import make_teachers
from e2gan.teachers.command import CommandTeacher
from e2gan.teachers.teacher import Ask, Failed, Teacher
from tests.teachers.tiny_programs import ASK, HANG, PYTHON, photos, vanishes

pytestmark = pytest.mark.usefixtures("temporary")

INVERT = """
import sys
from pathlib import Path
from PIL import Image, ImageChops
source, target = Path(sys.argv[1]), Path(sys.argv[2])
for path in source.iterdir():
    print("editing", path)
    ImageChops.invert(Image.open(path)).save(target / f"{path.stem}.SUFFIX", lossless=True)
"""

SHIFT = """
import json, sys
from PIL import Image
photo, edit, seed, log = sys.argv[1:5]
Image.open(photo).point(lambda v: (v + int(seed)) % 256).save(edit)
with open(log, "a") as f:
    f.write(json.dumps(sys.argv[1:]) + "\\n")
"""

DRIVER = """
import sys
import numpy as np
from e2gan.teachers.command import CommandTeacher
from e2gan.teachers.teacher import Ask
CommandTeacher(sys.argv[1]).edit([np.zeros((8, 8, 3), np.uint8)], Ask("inverted"), [0])
"""


def reasons(edits: Sequence[Pixels | Failed]) -> list[str]:
    assert all(isinstance(edit, Failed) for edit in edits)
    return [edit.reason for edit in edits if isinstance(edit, Failed)]


@pytest.mark.parametrize("arguments", ["", "{input} {output}"])
@pytest.mark.parametrize("suffix", ["png", "bmp", "WEBP"])
def test_a_program_edits_a_folder_of_photos(
    arguments: str, suffix: str, script: Callable[..., Path], temporary: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = script(INVERT.replace("SUFFIX", suffix))
    teacher: Teacher = CommandTeacher(f"{PYTHON} {program} {arguments}", batch=8)
    teacher.load()
    given = photos(3)
    edits = teacher.edit(given, ASK, [1, 2, 3])
    for photo, edit in zip(given, edits, strict=True):
        assert isinstance(edit, np.ndarray)
        assert edit.shape == photo.shape
        np.testing.assert_array_equal(edit, 255 - photo)
    assert capfd.readouterr() == ("", "")
    assert not list(temporary.iterdir())
    assert (teacher.name, teacher.batch, teacher.deterministic) == ("command:edit", 8, True)


def test_a_program_for_one_photo_is_called_once_a_photo(script: Callable[..., Path], tmp_path: Path) -> None:
    log = tmp_path / "log"
    words = '"{prompt}" --source={source}'
    teacher = CommandTeacher(f"{PYTHON} {script(SHIFT)} {{photo}} {{edit}} {{seed}} '{log}' {words}", batch=8)
    assert (teacher.batch, teacher.deterministic) == (1, False)
    given = photos(2)
    # What would be special to a shell, or is a placeholder, arrives as it is and in one argument.
    prompt = """it's "$HOME"; {input} {seed} `ls` *"""
    edits = teacher.edit(given, Ask(prompt, "two words"), [5, 250])
    for photo, edit, seed in zip(given, edits, [5, 250], strict=True):
        np.testing.assert_array_equal(edit, photo + np.uint8(seed))
    calls = [json.loads(line) for line in log.read_text().splitlines()]
    assert [call[4:] for call in calls] == [[prompt, "--source=two words"]] * 2


def test_seeds_come_as_a_file_with_the_photos_names(script: Callable[..., Path]) -> None:
    program = script("""
import sys
from pathlib import Path
from PIL import Image
for line in Path(sys.argv[1]).read_text().splitlines():
    name, seed = line.split()
    Image.open(Path(sys.argv[2]) / name).point(lambda v: (v + int(seed)) % 256).save(Path(sys.argv[3]) / name)
""")
    teacher = CommandTeacher(f"{PYTHON} {program} {{seeds}} {{input}} {{output}}")
    assert not teacher.deterministic
    given, seeds = photos(12), list(range(7, 19))
    for photo, edit, seed in zip(given, teacher.edit(given, ASK, seeds), seeds, strict=True):
        np.testing.assert_array_equal(edit, photo + np.uint8(seed))


@pytest.mark.slow
def test_a_neural_network_of_another_program(shared: Path) -> None:
    """A real style-transfer network in a process of its own gives what it gives in this one."""
    import torch

    program = shared / "teachers" / "stylize.py"
    if not program.exists():
        pytest.skip(f"no teacher program: {program} is absent")
    teacher = CommandTeacher(f"'{PYTHON}' '{program}' udnie {{input}} {{output}}", timeout=120)
    teacher.load()
    assert teacher.name == "command:stylize-udnie"
    files = sorted((shared / "photos" / "test").iterdir())[:2]
    given = [resize(read_image(file), size) for file, size in zip(files, [(64, 96), (70, 64)], strict=True)]
    edits = teacher.edit(given, ASK, [0, 0])

    spec = importlib.util.spec_from_file_location("stylize", program)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    weights = module.load_file(program.parent / "fast-style" / "udnie.safetensors")
    with torch.inference_mode():
        tensor = torch.from_numpy(given[0]).permute(2, 0, 1)[None].float()
        expected = module.stylize({k: v.float() for k, v in weights.items()}, tensor)[0].permute(1, 2, 0)
    assert isinstance(edits[0], np.ndarray)
    assert isinstance(edits[1], np.ndarray)
    assert edits[1].shape == (70, 64, 3)
    np.testing.assert_allclose(edits[0], expected.round().numpy(), atol=1)
    assert np.abs(edits[0].astype(float) - given[0]).mean() > 20


def test_a_program_that_fails_before_its_last_edit_fails_for_the_batch(
    steps: Callable[..., CommandTeacher], temporary: Path
) -> None:
    told, given = [], photos(4)
    for k in (1, 3):
        lines = f"for path in photos[:{k}]: invert(path)\n(target / photos[{k}].name).write_bytes(b'half')\n"
        teacher = steps(f"{lines}raise ValueError(f'cannot edit {{photos[{k}]}}')")
        with pytest.raises(RuntimeError) as failed:
            teacher.edit(given, ASK, [0] * 4)
        told.append(str(failed.value))
    # Which photo it was does not make it another reason.
    assert told == ["the program ended with status 1: ValueError: cannot edit the photo"] * 2
    assert not list(temporary.iterdir())


def test_a_program_that_fails_after_its_last_edit_has_made_them_all(
    steps: Callable[..., CommandTeacher], capfd: pytest.CaptureFixture[str]
) -> None:
    edits = steps("for path in photos: invert(path)\nsys.exit('cannot say goodbye')").edit(photos(2), ASK, [0, 0])
    assert all(isinstance(edit, np.ndarray) for edit in edits)
    assert "cannot say goodbye" in capfd.readouterr().err


def test_edits_that_are_missing_unreadable_or_two_are_failures_of_their_photo(script: Callable[..., Path]) -> None:
    program = script("""
import shutil, sys
from pathlib import Path
source, target = Path(sys.argv[1]), Path(sys.argv[2])
shutil.copy(source / "0000.png", target)
(target / "0001.png").write_text("no image")
(target / "0002.png").write_bytes((source / "0002.png").read_bytes()[:300])
shutil.copy(source / "0003.png", target)
shutil.copy(source / "0003.png", target / "0003.jpg")
shutil.copy(source / "0004.png", target / "0004-edit.png")
(target / "0004.txt").write_text("notes")
""")
    for seeds in ("", "{seeds}"):
        teacher = CommandTeacher(f"{PYTHON} {program} {{input}} {{output}} {seeds}")
        good, *bad = teacher.edit(photos(5), ASK, [0] * 5)
        np.testing.assert_array_equal(good, photos(1)[0])
        told = reasons(bad)
        assert told[0] == "the program's edit cannot be used: is no image"
        assert told[1] == "the program's edit cannot be used: is damaged (image file is truncated)"
        assert told[2] == "the program wrote more than one edit of the photo: NAME.jpg and NAME.png"
        assert told[3] == "the program wrote no edit under the photo's name NAME.png; it wrote NAME-edit.png"
        assert all(edit.again == bool(seeds) for edit in bad if isinstance(edit, Failed))


def test_a_failing_program_tells_its_last_line_and_once_the_lines_before(
    script: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    program = script("""
import sys
print("on standard output")
sys.stderr.write("loading   0%\\rloading 100%\\n\\x1b[31mwarming up\\x1b[0m\\n")
raise MemoryError("out of\\u00b5memory")
""")
    teacher = CommandTeacher(f"{PYTHON} -X utf8 {program}")
    for i in range(2):
        with pytest.raises(RuntimeError) as failed:
            teacher.edit(photos(2), ASK, [0, 0])
        assert str(failed.value) == "the program ended with status 1: MemoryError: out ofµmemory"
        out, err = capfd.readouterr()
        assert not out
        if i == 0:
            assert "command:x-utf8-edit failed: it ended with status 1; the last that it said:\n" in err
            assert "    loading 100%\n    warming up\n    Traceback" in err
            assert "on standard output" not in err
        else:
            assert not err


def test_a_program_that_makes_nothing_tells_once_what_it_said(capfd: pytest.CaptureFixture[str]) -> None:
    nothing = CommandTeacher(f"""{PYTHON} -c "print('this model edits no photos')" """)
    for i in range(2):
        told = reasons(nothing.edit(photos(9), ASK, [0] * 9))
        assert told == ["the program wrote no edit under the photo's name NAME.png, nor anything else"] * 9
        assert ("failed: no edit came of it" in capfd.readouterr().err) == (i == 0)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "names no program"),
        ("python 'edit.py", "No closing quotation"),
        ("python edit.py {inptu} {output}", r"\{inptu\} is unknown; there are \{input\} \{output\}"),
        ("python edit.py {input}", r"\{input\} and \{output\} belong together"),
        ("python edit.py {edit}", r"\{photo\} and \{edit\} belong together"),
        ("python edit.py {photo} {edit} {input} {output}", "not both"),
        ("python edit.py {input} {output} {seed}", r"\{seed\} needs \{photo\}"),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused(command: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        CommandTeacher(command)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("option", "value"), [("batch", 0), ("timeout", 0), ("timeout", float("nan"))])
def test_numbers_out_of_range_are_refused(option: str, value: float) -> None:
    arguments: dict[str, Any] = {option: value}
    with pytest.raises(InputError, match=f"--{option}"):
        CommandTeacher("python edit.py", **arguments)


def test_a_program_that_is_not_there_is_told_before_the_first_photo(script: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="no program 'no-such-program': install it"):
        CommandTeacher("no-such-program {input} {output}").load()
    program = script(INVERT)
    with pytest.raises(InputError, match=f"{program} is no program: put its interpreter before it"):
        CommandTeacher(str(program)).load()
    program.chmod(0o755)
    CommandTeacher(str(program)).load()
    with pytest.raises(InputError, match="cannot be started: Exec format error"):  # it has no #! line
        CommandTeacher(str(program)).edit(photos(1), ASK, [0])


def test_a_changed_script_is_another_run(script: Callable[..., Path], tmp_path: Path) -> None:
    program = script(INVERT)
    (tmp_path / "weights.bin").write_bytes(b"1")
    command = f"python {program} --weights={tmp_path}/weights.bin --style udnie -c '{'x' * 5000}'"

    def settings() -> dict[str, Any]:
        return CommandTeacher(command).settings(ASK)

    first = settings()
    assert first == settings()
    assert first["command"] == command
    assert set(first["files"]) == {str(program), f"{tmp_path}/weights.bin"}
    program.write_text(INVERT + "#")
    second = settings()
    (tmp_path / "weights.bin").write_bytes(b"2")
    assert first != second != settings()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python stylize.py --style udnie {input} {output}", "command:stylize-style-udnie"),
        ("/usr/bin/python3.11 /home/me/stylize.py --style scream", "command:stylize-style-scream"),
        ("~/bin/sharpen --in={input} --out={output}", "command:sharpen-in-out"),
        ("bash", "command:bash"),
        ("python " + "x" * 200 + " 1", "command:" + "x" * 39 + "-527c1f90"),
        ("--", "command:9ea6e464"),
    ],
)
def test_its_name_tells_commands_apart(command: str, name: str) -> None:
    assert CommandTeacher(command).name == name
    assert "~" not in CommandTeacher(command).arguments[0]


def test_commands_that_differ_only_in_a_folder_have_names_of_their_own() -> None:
    commands = ["python a/edit.py --weights A/model.pt", "python a/edit.py --weights B/model.pt", "python sharpen.py"]
    config = PairsConfig(concept="autumn", out=Path("pairs"), teacher=tuple(f"command:{c}" for c in commands))
    names = [teacher.name for teacher in make_teachers(config)]
    assert names == [teacher.name for teacher in make_teachers(config)]
    assert len(set(names)) == 3
    assert all(name.startswith("command:edit-weights-model-pt-") for name in names[:2])
    assert names[2] == CommandTeacher(commands[2]).name  # no clash, no change
    same = PairsConfig(concept="autumn", out=Path("pairs"), teacher=("command:echo 1", "command:echo  '1'"))
    assert [teacher.name for teacher in make_teachers(same)] == ["command:echo-1"] * 2


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; print('only here'); sys.exit(3)", "ended with status 3: only here"),
        ("import sys; sys.exit(3)", "ended with status 3, and said nothing"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", r"killed by SIGKILL \(perhaps for want of memory"),
    ],
)
def test_how_a_program_ended_is_told(code: str, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        CommandTeacher(f'{PYTHON} -c "{code}"').edit(photos(2), ASK, [0, 0])


@pytest.mark.parametrize("kind", ["polite", "stubborn"])
@pytest.mark.slow
def test_a_program_that_takes_too_long_is_killed_with_what_it_started(
    kind: str, script: Callable[..., Path], tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("e2gan.teachers.command.GRACE", 0.3)
    teacher = CommandTeacher(f"{PYTHON} {script(HANG)} {tmp_path / 'pid'} {kind}", timeout=2.5)
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"longer than 2\.5 s"):
        teacher.edit(photos(2), ASK, [0, 0])
    assert time.monotonic() - start < 10
    assert vanishes(int((tmp_path / "pid").read_text()))
    assert not list(temporary.iterdir())


def test_ctrl_c_kills_the_program_with_what_it_started(
    script: Callable[..., Path], tmp_path: Path, temporary: Path
) -> None:
    pid = tmp_path / "pid"

    def press() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not (pid.exists() and pid.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        CommandTeacher(f"{PYTHON} {script(HANG)} {pid}").edit(photos(2), ASK, [0, 0])
    thread.join()
    signal.signal(signal.SIGINT, before)
    assert vanishes(int(pid.read_text()))
    assert not list(temporary.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a program that its parent was killed")
def test_a_killed_process_leaves_no_program_running(
    steps: Callable[..., CommandTeacher], script: Callable[..., Path], tmp_path: Path, temporary: Path
) -> None:
    program = steps("import os; (here / 'pid').write_text(str(os.getpid())); time.sleep(60)")
    pid = tmp_path / "pid"
    driver = [PYTHON, script(DRIVER, "driver.py"), program.command]
    with subprocess.Popen(driver, env=os.environ | {"TMPDIR": str(temporary)}) as process:
        deadline = time.monotonic() + 60
        while not (pid.exists() and pid.read_text()) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
    assert vanishes(int(pid.read_text()))


@pytest.mark.parametrize("arguments", ["{input} {output}", "{photo} {edit}"])
def test_what_a_program_says_of_temporary_files_is_in_words(arguments: str, script: Callable[..., Path]) -> None:
    program = script("""
import os, sys
from pathlib import Path
source, target = map(Path, sys.argv[1:])
photo = max(source.iterdir()) if source.is_dir() else source
os.chdir(photo.parents[1])
sys.exit(f"{photo} {photo.name} ./{photo.name} input/{photo.name} {photo.parents[1]}/output/{photo.stem}.jpg "
         f"{photo.parent} {photo.parents[1]}/seeds.txt {photo.parents[1]}: style/1234.png")
""")
    for count in (1, 3):
        with pytest.raises(RuntimeError) as failed:
            CommandTeacher(f"{PYTHON} {program} {arguments}").edit(photos(count), ASK, [0] * count)
        said = str(failed.value).removeprefix("the program ended with status 1: ")
        assert said == "the photo the photo the photo the photo the edit input seeds.txt its folder: style/1234.png"


def test_a_program_from_the_path_counts_and_an_interpreter_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "mytool"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    teacher = CommandTeacher("mytool {input} {output}")
    first = teacher.settings(Ask("x"))
    assert set(first["files"]) == {str(program)}
    program.write_text("#!/bin/sh\n# another\n")
    assert teacher.settings(Ask("x")) != first
    assert CommandTeacher("python3 {input} {output}").settings(Ask("x"))["files"] == {}
