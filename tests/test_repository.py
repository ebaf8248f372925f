"""The repository as a whole: versions agree, files are small, results belong to this world, links lead somewhere."""
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import course_lib
from build import broken_blocks, images_without_alt
from course_lib import portraits

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data"
WITHOUT_DATA_SET = {"fuzz_formats", "gpu_tests", "growing_speed", "growing_speed_32", "growing_speed_1024", "inference",
                    "inference-batches", "inference-gpu", "inference-gpu-small", "render_speed", "streaming_speed", "train_speed",
                    "two_gpus"}
# Written in pieces, so that this file does not hold what it looks for.
FORBIDDEN = ["/" + "work/", "/tmp/" + "team", "/ro" + "ot/", "py" + "pi.org", "python" + "hosted", "registry." + "npmjs",
             "/home" + "/"]


def tracked() -> list[Path]:
    """The files that git has or would take, or without git every file that is not ignored by name."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git repository")
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def pins() -> dict[str, Requirement]:
    lines = [line for file in ("requirements.txt", "web/requirements.txt") for line in (ROOT / file).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {r.name.replace("-", "_").lower(): r for r in found}


def ranges() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    found = [Requirement(text) for text in texts if not text.startswith(project["name"])]
    return {r.name.replace("-", "_").lower(): r for r in found}


def test_requirements_pin_exactly_what_pyproject_allows():
    pinned, allowed = pins(), ranges()
    assert pinned.keys() == allowed.keys()
    for name, requirement in pinned.items():
        exact, = requirement.specifier
        assert exact.operator == "==", f"{name} is not pinned exactly"
        assert exact.version in allowed[name].specifier, f"{name} {exact.version} is outside {allowed[name].specifier}"


def test_the_library_imports_a_module_when_it_is_first_used():
    lines = ["import sys, course_lib", "print('torch' in sys.modules)", "print(course_lib.zoo.DATA, course_lib.portraits.VERSION)",
             "print({'zoo', 'portraits', '__version__'} <= set(dir(course_lib)), hasattr(course_lib, 'nothing'))"]
    said = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["False", f"{DATA} {portraits.VERSION}", "True False"]


def test_the_version_is_one():
    citation = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.M)[1]
    changes = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert citation == changes[0] == course_lib.__version__


def test_make_test_fast_leaves_out_files_that_exist():
    names = re.search(r"^SLOWER := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.M)[1].replace("\\", " ").split()
    assert names and not [name for name in names if not (ROOT / "tests" / f"test_{name}.py").exists()]


def test_the_conda_environment_installs_the_same():
    text = (ROOT / "environment.yml").read_text()
    assert "- -r requirements.txt" in text and "- -e ." in text
    python = re.search(r"python=(\d+\.\d+)", text).group(1)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert tuple(map(int, python.split("."))) >= tuple(map(int, re.findall(r"\d+", project["requires-python"])))


def test_no_file_names_a_private_path_or_a_registry():
    found = [f"{path.relative_to(ROOT)}: {word}" for path in tracked() if path.suffix not in {".png", ".safetensors"}
             for word in FORBIDDEN if word in path.read_text(encoding="utf-8", errors="ignore")]
    assert not found


def test_data_files_are_small():
    sizes = {p.relative_to(ROOT): p.stat().st_size for p in tracked() if p.is_relative_to(DATA)}
    assert not {str(p): size for p, size in sizes.items() if size > 16e6}
    assert sum(sizes.values()) <= 100e6


@pytest.fixture(scope="module")
def models() -> dict:
    return json.loads((DATA / "models.json").read_text())


def test_every_model_was_trained_on_this_world_and_has_its_hashes(models):
    assert models
    for name, card in models.items():
        assert card["world"] == portraits.VERSION, f"{name} was trained on world {card['world']}"
        for file in card["files"].values():
            digest = hashlib.sha256((DATA / file["file"]).read_bytes()).hexdigest()
            assert file["sha256"] == digest, f"{file['file']} has sha256 {digest}"


def test_every_weight_file_is_listed_and_has_its_card(models):
    listed = {file["file"]: file["sha256"] for card in models.values() for file in card["files"].values()}
    assert {p.name for p in DATA.glob("*.safetensors")} == listed.keys()
    cards = (DATA / "README.md").read_text()
    assert not [name for name in models if name not in cards]
    assert not [name for name, digest in listed.items() if digest[:12] not in cards]


def test_every_result_names_its_command_and_this_world_if_it_depends_on_it():
    """Timings and checks of files do not depend on the data set, and name no version."""
    results = sorted((DATA / "results").glob("*.json"))
    assert results
    for path in results:
        result = json.loads(path.read_text())
        assert result.get("command"), f"{path.name} has no command"
        expected = None if path.stem in WITHOUT_DATA_SET else portraits.VERSION
        assert result.get("world") == expected, f"{path.name} belongs to world {result.get('world')}, not {expected}"


def prose() -> list[Path]:
    return [p for p in tracked() if p.suffix == ".md"]


def test_links_lead_to_files_of_the_repository():
    broken = []
    for path in prose():
        text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(), flags=re.S)
        targets = re.findall(r"\]\(([^)\s]+)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
        for target in targets:
            if not re.match(r"[a-z]+:|#", target) and not (path.parent / target.split("#")[0]).exists():
                broken.append(f"{path.relative_to(ROOT)}: {target}")
    assert not broken


def test_images_in_prose_have_alt_text():
    assert not {str(p.relative_to(ROOT)): images_without_alt(p.read_text()) for p in prose() if images_without_alt(p.read_text())}


def test_code_and_formulas_in_prose_are_whole():
    assert not {str(p.relative_to(ROOT)): broken_blocks(p.read_text()) for p in prose() if broken_blocks(p.read_text())}


def test_modules_fit_in_one_reading():
    long = {str(p.relative_to(ROOT)): n for p in (ROOT / "course_lib").rglob("*.py")
            if p.parent != ROOT / "course_lib/exercises/lessons" and (n := len(p.read_text().splitlines())) > 320}
    assert not long


def test_the_readme_states_the_measured_training_speed():
    found, text = json.loads((DATA / "results" / "train_speed.json").read_text()), (ROOT / "README.md").read_text()
    for name, row in (found["configs"] | found["growing"]).items():
        assert f"| {name} | {row.get('official_img_per_s') or '–'} | {row['img_per_s']:,.0f} |" in text, name
