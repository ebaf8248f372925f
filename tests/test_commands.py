"""What holds for every command: ranges of options, one sentence for what goes wrong, files that are whole or not there."""
import argparse
import errno
import importlib
import io
import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import SafetensorError

import course_lib
from course_lib import commands, train, zoo
from course_lib.perception.edit_targets import EDIT_TARGETS
from course_lib.training import distributed, growing, options, presets, settings, stylegan2

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "experiments"), str(ROOT / "benchmarks")]
MAINS = {"train": ("course_lib.train", []), "metrics": ("course_lib.metrics.__main__", []),
         "metrics report": ("course_lib.metrics.__main__", ["report"]),
         "metrics blur": ("course_lib.metrics.__main__", ["blur"]), "zoo": ("course_lib.zoo.__main__", []),
         "styleclip": ("course_lib.styleclip.__main__", []), "portraits": ("course_lib.portraits.__main__", []),
         "dataset": ("course_lib.dataset", []), "training report": ("course_lib.training.report", [])}
MAINS |= {path.stem: (path.stem, []) for folder in ("experiments", "benchmarks") for path in sorted((ROOT / folder).glob("*.py"))
          if path.stem not in ("measuring", "rating", "train_speed")} | {"train_speed": ("train_speed", None)}


class Found(BaseException):
    """The parser of a command."""


@pytest.fixture(scope="module")
def parsers():
    """Name → parser of every command, those of its subcommands too."""
    def stop(parser, *_):
        raise Found(parser)

    found = {}
    commands.Parser.parse_args = stop
    try:
        for name, (module, arguments) in MAINS.items():
            main = importlib.import_module(module).main
            with pytest.raises(Found) as parser:
                main() if arguments is None else main(arguments)
            found[name] = parser.value.args[0]
    finally:
        del commands.Parser.parse_args              # which its parent has
    below = {f"{name} {sub}": choice for name, parser in found.items() for action in parser._actions
             if isinstance(action, argparse._SubParsersAction) for sub, choice in action.choices.items()}
    return found | below


def options_of(parsers):
    return [(name, parser, action) for name, parser in parsers.items() for action in parser._actions]


def test_every_number_on_a_command_line_has_its_range(parsers):
    assert len(parsers) > 20
    bare = [f"{name} {action.dest}" for name, _, action in options_of(parsers) if action.type in (int, float)]
    assert not bare
    for name, _, action in options_of(parsers):
        for wrong in ("nan", "inf", "-inf", "one", "") if getattr(action.type, "range", "") else ():
            with pytest.raises(argparse.ArgumentTypeError):
                print(name, action.dest, wrong, action.type(wrong))


def test_every_device_is_checked_and_no_command_writes_to_the_published_folder_unless_told_to(parsers):
    devices = [(name, action.type) for name, _, action in options_of(parsers) if action.dest == "device"]
    assert len(devices) > 12 and not [name for name, kind in devices if kind is not commands.device]
    outs = {name: action.default for name, _, action in options_of(parsers) if action.dest in ("out", "runs") and action.default}
    assert {"train oracle", "train judge", "train clip", "train identity", "train verifier", "train mapper"} <= outs.keys()
    assert not {name: out for name, out in outs.items() if Path(out).absolute().is_relative_to(ROOT / "data")}


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_the_recipe_of_models_and_results_has_only_commands_that_can_be_parsed(parsers, tmp_path):
    for name in ("classifiers/oracle", "classifiers/identity", "adversary/clip"):                   # which options name
        file = tmp_path / "models" / f"{name}-portraits{'' if 'clip' in name else '-64'}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    listed = subprocess.run(["make", "-n", "-B", "-f", "experiments/recipe.mk", "results", "PY=python", f"COURSE_DATA={tmp_path}",
                             f"RUNS={tmp_path / 'models'}"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines, made = [shlex.split(line) for line in listed.replace("\\\n", " ").splitlines()], []
    for python, *words in lines:
        if python == "python":
            script = words[1] if words[0] == "-m" else Path(words[0]).stem
            name, rest = script.removeprefix("course_lib."), words[2 if words[0] == "-m" else 1:]
            files = [word for word in rest if word.endswith(".safetensors") and " " not in word and script == "publish_file"]
            made.append(parsers[name].parse_args([word for word in rest if word not in files] + [__file__] * bool(files)))
    models = [args.model for args in made if "model" in args]
    assert sorted(models) == sorted(["stylegan2"] * 2 + ["stylegan", "pggan", "features", "oracle", "identity", "verifier", "judge"]
                                    + ["clip"] * 2 + ["mapper"] * len(EDIT_TARGETS))
    assert {args.prompt for args in made if "prompt" in args} == EDIT_TARGETS.keys()
    assert len(made) == len(models) + 5 + 4 + 1 + 6         # models, what publishes them, statistics, results


def test_help_of_every_command_shows_ranges_and_defaults(parsers):
    for name, parser in parsers.items():
        text = " ".join(parser.format_help().split())
        for action in parser._actions:
            assert action.help is not None or action.choices, (name, action.dest)
            if type(action.default) in (int, float, str) and action.default not in ("", argparse.SUPPRESS):
                assert f"default: {action.default}" in text, (name, action.dest)


@pytest.mark.parametrize("name, wrong", [
    ("train", "stylegan2 --out x --batch 0"), ("train", "stylegan2 --out x --r1-gamma -5"),
    ("train", "stylegan2 --out x --mixing 2"), ("train", "pggan --out x --batch 4:8,4:9"), ("train", "oracle --steps nan"),
    ("train", "clip --adversarial 3"), ("train", "identity --lr 0"),
    ("train", "mapper --prompt x --top-fraction 1"), ("train", "mapper --prompt x --device gpu"), ("train", "unknown"),
    ("train", ""),
    ("metrics", "stylegan2-portraits-64 kid --samples 0"), ("metrics report", "stylegan2-portraits-64 --out x --device tpu"),
    ("metrics blur", "--samples inf"), ("styleclip", "statistics --out x --images 0"), ("portraits", "--out x --seed -1"),
    ("compare", "growing --parallel 0"), ("scoreboard", "--portraits 0"), ("smoothness", "x --pairs 0"), ("styles", "x --images 1"),
    ("publish", "x y --samples 1"), ("publish_file", "nowhere"),
    ("dataset", "pack a b --resolution 48"), ("dataset", "pack a b --fit stretch"), ("train", "pggan --out x --labels"),
    ("render_speed", "--resolution 48"), ("inference", "--batches 0"),
    ("growing_speed", "pggan --repeats 0")])
def test_an_option_that_cannot_work_is_refused_in_one_sentence(name, wrong, capsys):
    module, arguments = MAINS[name]
    with pytest.raises(SystemExit) as end:
        importlib.import_module(module).main([*arguments, *wrong.split()])
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.endswith("(see --help)\n") and said.count("\n") == 1


@pytest.mark.parametrize("text, value", [("2000", 2000), ("2k", 2000), ("2.3m", 2_300_000), ("1e3", 1000), ("2K", 2000)])
def test_whole_numbers_may_be_written_short(text, value):
    assert commands.whole()(text) == value


@pytest.mark.parametrize("kind, text, says", [
    (commands.whole(), "0", "at least 1"), (commands.whole(1, 8), "9", "at most 8"),
    (commands.whole(), "2.5", "not a whole number"),
    (commands.whole(), "0.0001k", "at least 1"), (commands.whole(), "1e99999999999", "not a whole number"),
    (commands.whole(), "200,000", "write 2000"),
    (commands.number(0, 1), "2", "at most 1"), (commands.number(above=0), "0", "above 0"), (commands.number(0), "-5", "at least 0"),
    (commands.number(), "nan", "not a number"), (commands.power_of_two(), "48", "48 is not a power of two"),
    (commands.power_of_two(), "2048", "at most 1,024"), (commands.seed, "-1", "at least 0"), (commands.device, "gpu", "no device"),
    (commands.device, "cuda:x", "no device"), (commands.device, "cpu:1", "its last is"),
    (settings.table(commands.whole()), "4:8,4:16", "two values"), (settings.table(commands.whole()), "6:8", "not a power of two"),
    (settings.table(commands.whole()), "4:8:2", "no table"), (settings.table(commands.whole()), "4:0", "at least 1"),
    (settings.pictures, "nowhere", "does not exist"), (settings.pictures, "", "does not exist"),
    (settings.network, "nothing", "neither a file nor a model"), (commands.input_file, "nowhere", "does not exist"),
    (commands.input_file, "/", "is no file"), (commands.input_folder, __file__, "is no folder")])
def test_a_value_out_of_range_is_refused_with_the_range(kind, text, says):
    with pytest.raises(argparse.ArgumentTypeError, match=says):
        kind(text)


def test_devices_that_are_not_there_are_refused_and_what_mps_lacks_too(monkeypatch):
    there = {"cuda": 0, "mps": False}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there["cuda"] > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there["cuda"])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there["mps"])
    for absent in ("cuda", "cuda:0", "mps"):
        with pytest.raises(argparse.ArgumentTypeError, match="finds no (CUDA|MPS) device on this machine; take cpu"):
            commands.device(absent)
    there.update(cuda=2, mps=True)
    assert [commands.device(text) for text in ("cuda", "cuda:1", "mps", "cpu")] == ["cuda", "cuda:1", "mps", "cpu"]
    with pytest.raises(argparse.ArgumentTypeError, match="there is no cuda:2 on this machine; its last is cuda:1"):
        commands.device("cuda:2")
    with pytest.raises(ValueError, match="metrics compute in float64, which MPS does not have; take --device cpu"):
        commands.no_mps("mps", "metrics compute in float64")
    half = settings.StyleGAN2Settings(dtype="bfloat16")
    with pytest.raises(ValueError, match="MPS computes in float32"):
        options.check(half, "mps")
    options.check(replace(half, dtype="float32"), "mps")
    monkeypatch.setattr(os, "environ", os.environ | {"WORLD_SIZE": "3", "LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "3"})
    with pytest.raises(ValueError, match="there are 2 GPUs on this machine for 3 processes"):
        distributed.start("cuda")


# Sentences

@pytest.mark.parametrize("error", [
    ValueError("wrong"), OSError(errno.ENOSPC, "wrong", "file"), SafetensorError("wrong"), FloatingPointError("wrong"),
    BrokenPipeError(),
    MemoryError(), torch.OutOfMemoryError("wrong"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("No CUDA GPUs are available")])
def test_what_users_can_cause_ends_with_one_sentence(error, monkeypatch):
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    with pytest.raises(SystemExit) as end, commands.sentences("name"):
        raise error
    assert str(end.value).startswith("name: ") and "\n" not in str(end.value) and len(str(end.value)) > len("name: ")


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), AttributeError("x"), TypeError("x"), KeyError("x"),
                                   AssertionError("x")])
def test_a_fault_of_the_program_keeps_its_traceback(error):
    with pytest.raises(type(error)), commands.sentences("name"):
        raise error


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_command_says_what_is_kept(number, code, capsys):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end, commands.sentences("name", lambda: "all is kept"):
        os.kill(os.getpid(), number)
        signal.pause()
    assert end.value.code == code and capsys.readouterr().err == "\nname: all is kept\n"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("module", ["generate", "train", "project", "dataset", "metrics", "zoo", "styleclip", "training.report"])
def test_ctrl_c_while_a_command_imports_its_modules_is_one_sentence(module, tmp_path):
    (tmp_path / "torch.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)")
    done = begun(tmp_path, "-m", f"course_lib.{module}", "--help")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == f"\npython -m course_lib.{module}: stopped before it began\n"


@pytest.mark.parametrize("program", [
    ["-c", "import course_lib.commands"], ["-m", "mine.program", "course_lib.train"], ["-m", "mine"]])
def test_ctrl_c_in_a_program_that_uses_the_library_stays_a_keyboard_interrupt(program, tmp_path):
    (tmp_path / "torch.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)")
    (tmp_path / "mine").mkdir()
    program_text = "try:\n    import course_lib.commands\nexcept KeyboardInterrupt:\n    print('mine')"
    for name in ("__init__", "program", "__main__"):
        (tmp_path / "mine" / f"{name}.py").write_text(program_text)
    done = begun(tmp_path, *program)
    assert "mine" in done.stdout or "KeyboardInterrupt" in done.stderr
    assert "stopped before it began" not in done.stderr


def test_once_a_command_has_begun_ctrl_c_raises_keyboard_interrupt_again(monkeypatch, capsys):
    signal.signal(signal.SIGINT, course_lib.stopped_early)
    try:
        with pytest.raises(SystemExit) as end, commands.sentences("name", "all is kept"):
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        assert end.value.code == 130 and "name: all is kept" in capsys.readouterr().err
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def begun(folder, *arguments):
    """Python in a folder, whose modules come before all others."""
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True,
                          text=True)


def test_stops_are_noted_and_a_second_one_does_not_wait():
    with commands.noted_stops() as stops:
        os.kill(os.getpid(), signal.SIGINT)
        assert [type(stop) for stop in stops] == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
    with commands.noted_stops(patient=True) as stops:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
            os.kill(os.getpid(), number)
    assert [type(stop) for stop in stops] == [commands.Terminated, KeyboardInterrupt, KeyboardInterrupt]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_characters_that_the_terminal_lacks_stop_nothing(encoding, monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), encoding))
    print(commands.Parser(prog="name", description="σ").format_help()[-20:], end="", flush=True)
    shown.truncate(shown.seek(0))
    with commands.sentences("name"):
        print("preparing images … α, \udc80")
        commands.show_table("R² of ○")
    assert shown.getvalue() == b"preparing images ? ?, ?\n"


def test_tables_go_to_stderr_and_json_to_stdout(capsys):
    commands.show_table("a table")
    commands.show_json({"a": 1})
    shown = capsys.readouterr()
    assert shown.err == "a table\n" and json.loads(shown.out) == {"a": 1}


# Files

@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_permissions_of_every_file_follow_the_umask(umask, tmp_path):
    before = os.umask(umask)
    try:
        commands.write_json(tmp_path / "a.json", {})
        commands.write_image(tmp_path / "a.png", Image.new("RGB", (2, 2)))
        zoo.save(tmp_path / "new" / "a.safetensors", {"x": torch.zeros(3)}, "part")
        zoo.save(tmp_path / "new" / "a.safetensors", {"x": torch.ones(3)}, "part", replace=True)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("a.*")}
    assert modes == dict.fromkeys(("a.json", "a.png", "a.safetensors"), 0o666 & ~umask)


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_old_file_whole_and_nothing_half_written(tmp_path, monkeypatch):
    commands.write_json(tmp_path / "old.json", {"old": True})
    monkeypatch.setattr(os, "fsync", full)
    for write in (lambda: commands.write_json(tmp_path / "old.json", {}, replace=True),
                  lambda: commands.write_json(tmp_path / "new.json", {}),
                  lambda: zoo.save(tmp_path / "new.safetensors", {"x": torch.zeros(3)}, "part"),
                  lambda: commands.write_image(tmp_path / "new.png", Image.new("RGB", (2, 2)))):
        with pytest.raises(OSError, match=r"\.(json|safetensors|png) could not be written: No space left on device$"):
            write()
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]
    assert json.loads((tmp_path / "old.json").read_text()) == {"old": True}


def test_what_libraries_say_of_a_full_disk_becomes_an_oserror(tmp_path, monkeypatch):
    def write(error):
        with commands.writing(tmp_path / "file"):
            raise error

    with pytest.raises(OSError, match="file could not be written: No space left on device$"):
        write(SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"))
    with pytest.raises(OSError, match="file could not be written: .*unexpected pos 64 vs 0"):
        write(RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"))
    with pytest.raises(RuntimeError, match="another"):
        write(RuntimeError("another"))
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_refused_unless_it_is_the_commands_own(tmp_path):
    file = tmp_path / "a.json"
    commands.write_json(file, {"command": "python mine --seed 1"})
    for write in (lambda: commands.write_json(file, {}), lambda: zoo.save(file, {}, "part"), lambda: commands.try_output(file)):
        with pytest.raises(FileExistsError, match="a.json exists already and is not overwritten"):
            write()
    assert commands.own_json(file, "python mine") == {"command": "python mine --seed 1"}
    assert commands.own_json(tmp_path / "b.json", "python mine") == {}
    with pytest.raises(FileExistsError, match="is not a result of python other"):
        commands.own_json(file, "python other")
    for content in ("not json", "[]", "{}", '{"command": 1}'):
        (tmp_path / "c.json").write_text(content)
        with pytest.raises(FileExistsError, match="is not a result of python mine"):
            commands.own_json(tmp_path / "c.json", "python mine")


def test_a_place_that_cannot_be_written_is_refused_before_work_begins(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    for path in ("file/sub", "file/a/b", "lost", "lost/sub"):
        with pytest.raises(NotADirectoryError, match="cannot be written to: .*(file|lost) is not a folder"):
            commands.try_folder(tmp_path / path)
    with pytest.raises(IsADirectoryError, match="is a folder; name a file in it"):
        commands.try_output(tmp_path)
    commands.try_output(tmp_path / "new" / "folder" / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "lost"]
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full())
    with pytest.raises(OSError, match="new cannot be written to: No space left on device"):
        commands.try_folder(tmp_path / "new")


def test_a_picture_of_an_unknown_format_is_named(tmp_path):
    with pytest.raises(ValueError, match='a.bin: ".bin" is no format of pictures'):
        commands.write_image(tmp_path / "a.bin", Image.new("RGB", (2, 2)))


PRESETS = [(model, name) for model, named in presets.PRESETS.items() for name in named]


def settings_of(capsys, *arguments):
    train.main([*arguments, "--dry-run"])
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("model, name", PRESETS, ids=map(" ".join, PRESETS))
def test_what_is_typed_beside_a_preset_overrides_it_and_a_dry_run_makes_nothing(model, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    required = ["--prompt", "a smiling person"] if model == "mapper" else ["--out", "run", "--dtype", "float32"]
    given = [model, "--preset", name, *required]
    named, other = settings_of(capsys, *given), settings_of(capsys, *given, "--seed", "5")
    assert other == named | {"seed": 5} | ({"command": other["command"]} if "command" in named else {})
    assert presets.PRESETS[model][name].items() <= named.items()
    assert named != settings_of(capsys, *(word for word in given if word not in ("--preset", name))) | {"preset": name}
    assert not list(tmp_path.iterdir())
    if model != "mapper":
        build = stylegan2.build if model == "stylegan2" else growing.build
        with torch.device("meta"):
            assert build(settings.from_stored(named), torch.device("meta")).G.resolution == named["resolution"]
