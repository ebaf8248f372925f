"""What a run says of itself: its time, its scores and the best snapshot, curves, a film, TensorBoard's events."""
import importlib.util
import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from course_lib import images, metrics, train, zoo
from course_lib.networks import stylegan2
from course_lib.training import checkpoint, data, loop, options, report, scores
from course_lib.training import stylegan2 as training

TINY = ["stylegan2", "--resolution", "8", "--channel-base", "64", "--channel-max", "8", "--z-dim", "8", "--w-dim", "8",
        "--mapping-layers", "2", "--batch", "8", "--device", "cpu", "--dtype", "float32", "--data-size", "8", "--log-every", "80",
        "--checkpoint-every", "80"]


def run(out, images, *more):
    train.main([*TINY, "--out", str(out), "--images", str(images), *more])


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def logged(tmp_path):
    """The log, scores and sheets of a run that nobody trained."""
    write_lines(tmp_path / "log.jsonl", [{"images": n, "G_loss": n / 7, "D_loss": 1.5, "augment_p": n / 1e6, "r_t": 0.4,
                                          "rgb_shares": {"4": 1.0}, "frechet": 1.0} for n in (1000, 2000, 3000)])
    write_lines(tmp_path / "metrics.jsonl", [{"images": n, "frechet": 9e5 / n, "precision": 0.5, "recall": 0.1}
                                             for n in (1000, 3000)])
    (tmp_path / "settings.json").write_text('{"resolution": 64}')
    (tmp_path / "samples").mkdir()
    for n, size in ((1000, 32), (2000, 64), (3000, 64)):
        Image.new("RGB", (2 * size, size), (n // 20, 0, 0)).save(tmp_path / "samples" / f"{n:010d}.png")
    return tmp_path


# Curves, a film

def test_every_number_of_the_logs_is_drawn_in_its_panel(logged):
    panels = {axes.get_title(): {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
              for axes in report.figure(logged).axes}
    assert panels.keys() == {"frechet", "precision and recall", "losses", "augmentation"}
    assert panels["losses"]["G_loss"] == [[n / 1000, n / 7] for n in (1000, 2000, 3000)]
    assert panels["frechet"]["frechet"] == [[1, 900], [3, 300]], "scores are those of metrics.jsonl"
    assert panels["augmentation"].keys() == {"augment_p", "r_t"}
    assert panels["precision and recall"].keys() == {"precision", "recall"}


def test_the_command_draws_curves_and_a_film_and_says_which_snapshot_is_the_best(logged, capsys):
    (logged / "best.txt").write_text("frechet 300 after 3,000 images\n")
    for _ in range(2):                                                              # what it drew itself it draws anew
        report.main([str(logged), "--frame-ms", "100"])
        found = json.loads(capsys.readouterr().out)
    assert found == {"images": 3000, "curves": str(logged / "curves.png"), "samples": str(logged / "samples.webp"),
                     "best": "frechet 300 after 3,000 images"}
    assert Image.open(found["curves"]).format == "PNG"
    film, shades = Image.open(found["samples"]), []
    assert (film.format, film.n_frames, film.size) == ("WEBP", 3, (128, 64))
    for i in range(3):
        film.seek(i)
        film.load()
        shades.append(film.convert("RGB").getpixel((5, 5))[0])
        assert film.info["duration"] == (1000 if i == 2 else 100)
    assert np.allclose(shades, [50, 100, 150], atol=6)


def test_a_film_of_large_sheets_is_made_smaller(tmp_path):
    (tmp_path / "samples").mkdir()
    Image.new("RGB", (4096, 2048)).save(tmp_path / "samples" / "0000000001.png")
    assert Image.open(report.film(tmp_path)).size == (1024, 512)


def test_a_small_film_of_a_network_that_grows_shows_the_same_latents_throughout(tmp_path):
    out, film = tmp_path / "run", tmp_path / "small.webp"
    train.main(["pggan", "--resolution", "8", "--stable", "16", "--fade", "16", "--channel-base", "64", "--channel-max", "8",
                "--z-dim", "8", "--batch", "8", "--device", "cpu", "--dtype", "float32", "--data-size", "8",
                "--checkpoint-every", "16", "--out", str(out), "--images", "64"])
    report.small_film(out, film)
    z = torch.randn(8, 16, 8, generator=torch.Generator().manual_seed(0))[:4, :4].flatten(0, 1)
    sheets, snapshots = report.sample_sheets(out), sorted((out / "snapshots").glob("*.safetensors"))
    made = [images.to_pil(images.grid(zoo.load(snapshot)(z), 4)) for snapshot in snapshots]
    assert [picture.width // 4 for picture in made] == [4, 4, 8, 8]
    difference = lambda a, b: np.abs(np.asarray(a, int) - np.asarray(b.resize((256, 256), Image.Resampling.NEAREST), int))
    assert len(sheets) == 5                                                                 # the first before the first step
    for sheet, picture in zip(sheets[1:], made, strict=True):
        assert difference(report.frame(sheet, (256, 256), 4 / 16), picture).max() <= 1           # snapshots are float16
    with Image.open(film) as shown:
        for i, own, other in ((0, made[0], made[-1]), (shown.n_frames - 1, made[-1], made[0])):
            shown.seek(i)
            assert 3 * difference(shown.convert("RGB"), own).mean() < difference(shown.convert("RGB"), other).mean()


def test_a_small_film_keeps_to_its_frames_and_bytes_and_overwrites_nothing(logged, tmp_path, capsys):
    for i in range(1, 12):
        Image.effect_noise((128, 64), 10 * i).save(logged / "samples" / f"{i:010d}.png")
    film, rougher = tmp_path / "small.webp", tmp_path / "rougher.webp"
    report.small_film(logged, film, frames=3)
    report.small_film(logged, rougher, frames=3, most=film.stat().st_size - 1)
    assert rougher.stat().st_size < film.stat().st_size
    with Image.open(film) as shown:
        seen = []
        for i in range(shown.n_frames):
            shown.seek(i)
            seen.append(np.asarray(shown.convert("L"), float).std())
    sheets = report.sample_sheets(logged)
    expected = [np.asarray(report.frame(sheets[i], (256, 256), 4 / 16).convert("L"), float).std() for i in (0, 6, 13)]
    assert len(sheets) == 14 and np.allclose(seen, expected, rtol=0.2)
    for words, sentence in (((film,), "small.webp exists already"), ((tmp_path / "small.gif",), "small.gif: name a .webp"),
                            ((tmp_path / "new.webp", "--kb", 1, "--frames", 2),
                             "a film of 2 frames has .* kB at quality 40; take fewer frames")):
        with pytest.raises(SystemExit, match=sentence):
            report.main([str(logged), "--small", *map(str, words)])
    report.main([str(logged), "--small", str(tmp_path / "new.webp"), "--frames", "2"])
    assert json.loads(capsys.readouterr().out)["small"] == str(tmp_path / "new.webp")


def test_sheets_have_fewer_images_of_a_high_resolution():
    found = {resolution: report.columns(resolution) for resolution in (64, 512, 1024, 4096)}
    assert found == {64: 16, 512: 16, 1024: 8, 4096: 4}
    assert all(columns * resolution <= report.SHEET for resolution, columns in found.items() if resolution < 4096)


def test_a_folder_without_a_run_is_refused_in_a_sentence_and_a_line_that_was_cut_off_is_left_out(tmp_path):
    with pytest.raises(SystemExit, match="holds no run, or one without a line of log.jsonl yet; pass the --out of a training"):
        report.main([str(tmp_path)])
    (tmp_path / "log.jsonl").write_text('{"images": 8, "G_loss": 1}\n\n[1]\n{"images": 16, "G_l')
    assert report.entries(tmp_path / "log.jsonl") == [{"images": 8, "G_loss": 1}]


def test_pictures_of_a_run_are_no_pictures_to_train_on(tmp_path):
    for name in ("mine.png", "curves.png", "reals.png", "samples.webp"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    for name in ("settings.json", "log.jsonl"):
        (tmp_path / name).touch()
    found = images.find(tmp_path)
    assert found.names == ["mine.png"] and found.left_out["picture of a training run"] == 3


# Time

@pytest.mark.parametrize("seconds, said", [(40, "about 40 s"), (720, "about 12 minutes"), (12_300, "about 3.4 hours"),
                                           (180_000, "about 2.1 days")])
def test_a_duration_is_said_in_the_unit_that_fits(seconds, said):
    assert report.duration(seconds) == said


def test_a_folder_with_files_of_those_names_and_no_run_is_left_alone(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("mine")
    with pytest.raises(SystemExit, match="holds metrics.jsonl of something other than a run; choose another --out"):
        run(tmp_path, 80)
    assert (tmp_path / "metrics.jsonl").read_text() == "mine"


def test_a_run_says_once_how_long_it_will_take_and_draws_its_curves(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "DRAW_EVERY", 0)
    run(tmp_path, 8 * (loop.SETTLED + loop.TIMED + 2), "--checkpoint-every", "1m")
    said = [line for line in capsys.readouterr().out.splitlines() if "images a second" in line]
    assert len(said) == 1 and re.search(r"\d images a second: about \d+ s in all, about \d+ s from now on", said[0])
    assert (tmp_path / "curves.png").exists()


def test_time_for_measuring_a_snapshot_is_no_time_of_a_step(tmp_path, monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: clock[0])
    step = loop.move_average

    def slow(*arguments):
        clock[0] += 2
        step(*arguments)
    monkeypatch.setattr(loop, "move_average", slow)

    def scorer(*_):
        def measure(run):
            clock[0] += 1000
            return {"frechet": 1.0}
        return measure
    monkeypatch.setattr(scores, "scorer", scorer)
    monkeypatch.setattr(report, "DRAW_EVERY", float("inf"))
    run(tmp_path, 8 * 75, "--metrics", "frechet", "--checkpoint-every", str(8 * 40))
    assert ": 4 images a second: about 2 minutes in all, about 8 s from now on\n" in capsys.readouterr().out


# Scores

class Counting:
    """Stands for a scorer: its n-th score is the n-th of these."""
    def __init__(self, *values):
        self.values = iter(values)

    def __call__(self, run):
        torch.rand(3)
        return {"frechet": next(self.values), "recall": 0.5}


def test_scores_go_into_the_log_and_metrics_and_the_best_snapshot_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(scores, "scorer", lambda *_: Counting(9.0, 4.0, 6.0))
    run(tmp_path, 240, "--metrics", "frechet,precision_recall")
    expected = [{"images": 80, "frechet": 9.0, "recall": 0.5}, {"images": 160, "frechet": 4.0, "recall": 0.5},
                {"images": 240, "frechet": 6.0, "recall": 0.5}]
    assert report.entries(tmp_path / "metrics.jsonl") == expected
    assert [line["frechet"] for line in report.entries(tmp_path / "log.jsonl")] == [9, 4, 6]
    assert (tmp_path / "best.txt").read_text() == ("frechet 4 after 160 images, the lowest of the snapshots: "
                                                   "G-0000000160.safetensors\n")
    best, snapshot = (load_file(tmp_path / name) for name in ("best.safetensors", "snapshots/G-0000000160.safetensors"))
    assert all(torch.equal(value, snapshot[key]) for key, value in best.items())
    assert zoo.load(tmp_path / "best.safetensors").resolution == 8


def test_a_resumed_run_forgets_scores_that_came_after_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(scores, "scorer", lambda *_: Counting(9.0, 4.0))
    run(tmp_path, 160, "--metrics", "frechet")
    shutil.rmtree(checkpoint.folders(tmp_path)[-1])
    monkeypatch.setattr(scores, "scorer", lambda *_: Counting(10.0))
    run(tmp_path, 160, "--metrics", "frechet", "--resume")
    assert [line["frechet"] for line in report.entries(tmp_path / "metrics.jsonl")] == [9, 10]
    assert (tmp_path / "best.txt").read_text().startswith("frechet 9 after 80 images")
    best, snapshot = (load_file(tmp_path / name) for name in ("best.safetensors", "snapshots/G-0000000080.safetensors"))
    assert all(torch.equal(value, snapshot[key]) for key, value in best.items())


class Oracle(torch.nn.Module):
    """Five features of an image."""
    def __init__(self):
        super().__init__()
        self.dense = torch.nn.Linear(12, 5)

    def features(self, images):
        return self.dense(torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1))


def test_a_scorer_gives_what_evaluate_gives_and_leaves_random_states_alone(monkeypatch):
    torch.manual_seed(0)
    oracle, G = Oracle(), stylegan2.Generator(8, z_dim=8, w_dim=8, channel_base=64, channel_max=8).eval()
    monkeypatch.setattr(scores.zoo, "load", lambda name, device: oracle)
    s = options.as_typed(*TINY)
    run, reals = training.build(s, "cpu"), data.load("portraits", 8, 8, 0, "cpu")
    run.ema = G
    score = scores.scorer(["frechet", "precision_recall"], 40, s, data.Resident(reals), torch.device("cpu"))
    before = torch.get_rng_state()
    first, again = score(run), score(run)
    assert torch.equal(torch.get_rng_state(), before) and first == again
    unseen = torch.cat(list(metrics.rendered(8, 910_000, 8)))
    assert first.pop("D_gap") == pytest.approx((run.D(images.from_uint8(reals)).mean() - run.D(unseen).mean()).item(), abs=1e-6)
    expected = metrics.evaluate(G, oracle, ["frechet", "precision_recall"], samples=40, reference="portraits")
    assert first == {name: expected[name] for name in ("frechet", "precision", "recall")}


def test_a_run_on_own_pictures_is_measured_against_them_in_the_courses_features(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, image in enumerate(data.load("portraits", 8, 60, 0, "cpu")):
        images.to_pil(image).save(folder / f"{i}.png")
    run(tmp_path / "run", 80, "--data", str(folder), "--data-size", "60", "--metrics", "kid", "--metric-samples", "64")
    scored, = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    G = zoo.load(tmp_path / "run")
    assert scored == {"images": 80, "kid": metrics.evaluate(G, None, ["kid"], data=str(folder), samples=64)["kid"]["mean"]}


def test_the_gap_is_that_of_ds_mean_logits():
    D = lambda images: images.mean(dim=(1, 2, 3))
    batches = lambda *levels: [torch.full([4, 3, 8, 8], level) for level in levels]
    assert scores.gap(D, batches(2.0, 1.0), batches(0.5)) == pytest.approx(1.0)


@pytest.mark.parametrize("wrong, said", [
    (["--metrics", "frechet", "--metric-samples", "20"], "20 samples are too few for frechet"),
    (["--metrics", "frechet", "--data", "FOLDER"], "frechet compares what the oracle sees, .*; take kid or precision_recall"),
    (["--tensorboard"], "--tensorboard needs a package of its own: pip install tensorboard")])
def test_what_cannot_be_reported_is_refused_before_anything_is_made(wrong, said, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=said):
        run(tmp_path / "run", 80, *[str(tmp_path / "in") if word == "FOLDER" else word for word in wrong])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wrong, said", [("fid", 'no metric "fid" for a run; choose from frechet, kid, precision_recall'),
                                         ("precision_recall,frechet", "begin with a distance, such as frechet")])
def test_metrics_that_cannot_choose_the_best_snapshot_are_refused(wrong, said, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(tmp_path / "run", 80, "--metrics", wrong)
    assert said in capsys.readouterr().err


# TensorBoard

def test_tensorboard_gets_every_number_and_the_sheets(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    run(tmp_path, 160, "--tensorboard")
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    lines = report.entries(tmp_path / "log.jsonl")
    assert [(e.step, e.value) for e in events.Scalars("G_loss")] == [(n["images"], pytest.approx(n["G_loss"])) for n in lines]
    assert [e.value for e in events.Scalars("rgb_shares/4")] == [pytest.approx(n["rgb_shares"]["4"]) for n in lines]
    assert [e.step for e in events.Images("samples")] == [80, 160]
