"""Code has the field's words: names that only this project once used stay away."""
import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = "course_lib", "experiments", "benchmarks", "tests", "notebooks/py"

# Private names, and the field's. These stand for nothing else in code, whatever they name.
NAMES = {
    "WISHES": "EDIT_TARGETS", "Wish": "EditTarget", "wish": "edit target", "wishes": "edit targets", "shows": "success",
    "granted": "success", "side_effects": "leakage", "same_judged": "identity_preserved", "rest_change": "preservation loss",
    "rest_weight": "preserve_weight", "claims": "attribute_prompts, style_analysis", "claims_loss": "attribute_prompt_loss",
    "claims_weight": "attribute_weight", "Reader": "AttributeClassifier", "reader": "classifier, clip", "readers": "classifiers",
    "reading": "predicted attributes", "readings": "predicted attributes", "train_reader": "train_classifier",
    "judges": "classifiers",
    "Captured": "CUDA-graph step", "in_step": "consistency check", "gathered": "all-gather", "Blank": "placeholder",
    "probes": "cases", "Proof": "model check", "proofs": "model checks", "_space": "depth to space", "_depth": "space to depth",
    "_phases": "polyphase", "spikes": "outliers", "variety": "mean_ms_ssim", "eight_bit": "quantized",
    "surer_half": "most_confident_half", "twin": "ablation", "ship": "publish", "ship_files": "publish_files",
    "no_critic": "no_discriminator", "tier": "choice of models", "louder": "larger", "loud": "large", "volume": "magnitude",
    "_marks": "fingerprints",
}
# These are private as the name of a function,
FUNCTIONS = {
    "seen": "embed_samples", "enough": "similarity target", "optimizing": "optimize_steps", "fitting": "fit_steps",
    "projecting": "project_steps", "fill": "load strictly", "begin": "initialise from", "grown": "trained part",
    "mark": "fingerprint", "deviations": "standard_deviations", "room": "sandbox", "who": "identity_vector",
}
# these as that of a parameter,
ARGUMENTS = {"keep": "identity_threshold", "goal": "similarity_target", "plain": 'impl="reference"', "proof": "model check",
             "world": "dataset_version"}
# these of their module,
ATTRIBUTES = {("distributed", "share"), ("classifiers", "read")}
# and these as the name of a module.
MODULES = {"fast", "products", "judges", "edits", "claims", "texts", "readers", "contrastive", "strength", "ship", "ship_file",
           "blank", "probes", "proof", "watch", "records"}
# Keys of results.
KEYS = {"shows", "others", "same", "same_judged", "alike", "judged", "spikes", "over_w", "over_y"}


def private_names(source):
    """The private names that a module's code uses."""
    tree, found = ast.parse(source), set()
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.level or "course_lib" in node.module)]
    modules = {alias.asname or alias.name for node in imports for alias in node.names}
    for node in ast.walk(tree):
        names, functions, arguments = [], [], []
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names, functions = [name], [name]
            case ast.alias(name=name, asname=other):
                names = functions = [*name.split("."), other]
            case ast.Call(func=ast.Name(id=name)):
                functions = [name]
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                names, functions = [name], [name] * (module in modules)
                found |= {f"{module}.{name}"} if (module, name) in ATTRIBUTES else set()
            case ast.Attribute(attr=name) | ast.Name(id=name):
                names = [name]
            case ast.arg(arg=name) | ast.keyword(arg=name):
                names = arguments = [name]
        found |= NAMES.keys() & set(names) | FUNCTIONS.keys() & set(functions) | ARGUMENTS.keys() & set(arguments)
    return found


@pytest.mark.parametrize("code", [
    "WISHES = 1", "def f(keep): pass", "f(keep=1)", "import x.claims", "from . import styleclip; styleclip.seen(G)",
    "from a import seen", "classifiers.read(images)", "class Reader: pass", "x.spikes()", "f(world=1)", "def seen(G): pass",
    "row.shows(x)"])
def test_a_private_name_is_found_wherever_it_stands(code):
    assert private_names(code)


@pytest.mark.parametrize("code", [
    "'a wish'", "seen = set()", "keep = x > 3", "image.read()", "# world", "pytest.mark.slow", "share = 0.5", 'row["world"]',
    "others = images[1:]", "page.fill(text)", "world = images", "def records(): pass"])
def test_plain_english_is_not(code):
    assert not private_names(code)


def test_code_has_the_words_of_the_field():
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")) if path != Path(__file__)]
    files = {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}
    assert len(files) > 150
    words = FUNCTIONS | ARGUMENTS | NAMES
    left = [f"{file}: {name} ({words.get(name, 'see ATTRIBUTES')})" for file, text in files.items()
            for name in sorted(private_names(text))]
    assert not left + [f"{file}: the module's name" for file in files if Path(file).stem in MODULES]


def test_results_have_the_words_of_the_field():
    def keys(value):
        if isinstance(value, dict):
            yield from value
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from keys(part)

    for path in sorted((ROOT / "data" / "results").glob("*.json")):
        assert not KEYS.intersection(keys(json.loads(path.read_text()))), path.name
