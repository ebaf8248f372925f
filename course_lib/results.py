"""What the course has measured and stored in `data/results`, and for which models it is true.

A lesson lets you choose another generator or CLIP. The course's numbers, pictures, judge and identity network say nothing about
it, so they are left out then, with a sentence.
"""
import json

from . import zoo

MEASURED_WITH = ("stylegan2-portraits-64", "clip-portraits")           # where a result names no other model


def belong_to(*models) -> bool:
    """Whether what the lessons' models measured is true of these (names or paths); if not, says so."""
    others = [str(model) for model in models if str(model) not in MEASURED_WITH]
    if others:
        print(f"Left out: this was measured with the course's own models ({', '.join(MEASURED_WITH)}), and says nothing about "
              f"{' and '.join(others)}.")
    return not others


def load(name):
    """The result `name`, such as a generator's report by its name; None, after a sentence, if the course has measured none."""
    file = zoo.DATA / "results" / f"{name}.json"
    if not file.is_file():
        print(f"Left out: the course has no results for {name}.")
        return None
    return json.loads(file.read_text())


def examiner(name, model):
    """A network that knows the course's portraits alone, judge or identity network, for a generator `model` (a name or path);
    None, after a sentence, for one that was not trained on them."""
    if zoo.dataset_of(model) == "portraits":
        return zoo.load(name)
    print(f"Left out: {name} knows the course's portraits alone, and {model} was not trained on them.")
