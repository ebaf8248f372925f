"""Packed sets, zips, class folders, and images that are read while networks train."""
import json
import os
import shutil
import signal
import zipfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from course_lib import dataset, images, train, zoo
from course_lib.training import checkpoint, data, distributed, loop, options, schedule, stylegan2
from course_lib.training.settings import StyleGAN2Settings
from course_lib.zoo import __main__

TINY = ["stylegan2", "--resolution", "8", "--channel-base", "64", "--channel-max", "8", "--z-dim", "8", "--w-dim", "8",
        "--mapping-layers", "2", "--batch", "8", "--device", "cpu", "--dtype", "float32", "--log-every", "80",
        "--checkpoint-every", "80"]
GROWING = ["pggan", "--resolution", "8", "--channel-base", "64", "--channel-max", "8", "--z-dim", "8", "--batch", "4:8,8:4",
           "--device", "cpu", "--dtype", "float32", "--stable", "64", "--fade", "64", "--log-every", "80",
           "--checkpoint-every", "80"]
STREAMED = ["--data-cache", "4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twenty pictures of all shapes and modes: fifteen cats and five dogs."""
    top, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    kinds = [("RGB", (20, 20)), ("RGBA", (24, 16)), ("L", (9, 30)), ("P", (16, 16)), ("CMYK", (40, 12))]
    for i, (mode, size) in enumerate(kinds * 4):
        place = top / ("dogs" if i % 4 == 1 else "cats")
        place.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, [*size[::-1], 3], dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(place / f"{i:02d}.{'tif' if mode == 'CMYK' else 'png'}")
    return top


@pytest.fixture(scope="module")
def archive(folder, tmp_path_factory):
    return Path(shutil.make_archive(tmp_path_factory.mktemp("zip") / "pictures", "zip", folder.parent, folder.name))


@pytest.fixture(scope="module")
def packed(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "set"
    dataset.pack(folder, path, 8)
    return path


def contents(path):
    return {file.name: file.read_bytes() for file in Path(path).iterdir()}


# Packing

def test_a_folder_its_zip_and_its_packed_set_hold_the_same_images(folder, archive, packed):
    found = [data.load(source, 8, 100, 0, "cpu") for source in (folder, archive, packed)]
    assert found[0].shape == (20, 3, 8, 8) and torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    mapped = np.load(packed / "images.npy", mmap_mode="r", allow_pickle=False)
    assert mapped.dtype == np.uint8 and torch.equal(torch.tensor(mapped), found[0])
    assert sorted(contents(packed)) == ["images.npy", "info.json"]
    parts = [data.load(source, 8, 7, 3, "cpu") for source in (folder, archive, packed)]     # drawn by seed: the same pictures
    assert len(parts[0]) == 7 and torch.equal(parts[0], parts[1]) and torch.equal(parts[0], parts[2])


def test_what_a_set_holds_is_said_and_its_images_are_compared(folder, packed, tmp_path):
    about = dataset.info(packed, check=True)
    assert (about["count"], about["resolution"], about["bytes"], about["fit"]) == (20, 8, 20 * 192, "crop")
    assert about["classes"] == {"cats": 15, "dogs": 5} and about["names"] == images.find(folder).names and about["skipped"] == {}
    shutil.copytree(packed, tmp_path / "changed")
    content = bytearray((packed / "images.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "changed" / "images.npy").write_bytes(content)
    with pytest.raises(ValueError, match="not those that were packed"):
        dataset.info(tmp_path / "changed", check=True)


def test_pictures_that_are_not_square_lose_their_edges_or_get_white_ones(tmp_path):
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 0, 0, 255                                 # the middle third is blue, the others are black
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "wide.png")
    for fit in dataset.FITS:
        dataset.pack(tmp_path / "in", tmp_path / fit, 8, fit)
    crop, pad = (dataset.open_set(tmp_path / fit).read([0])[0] for fit in dataset.FITS)
    assert (crop.transpose(1, 2, 0) == (0, 0, 255)).all()
    assert (pad[:, 0] == 255).all() and (pad[:, -1] == 255).all() and (pad[2, 4, 3:5] > 200).all() and (pad[:, 4, 0] < 50).all()


def test_pictures_smaller_than_the_images_are_named_and_much_smaller_ones_left_out(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name, size in dict(tiny=(1, 90), square=(4, 4), tall=(4, 30), same=(8, 8), larger=(9, 30)).items():
        Image.new("RGB", size).save(tmp_path / "in" / f"{name}.png")
    for fit, named in (("crop", ["square.png", "tall.png"]), ("pad", ["square.png"])):           # 4 × 30 px is made smaller
        dataset.main(["pack", str(tmp_path / "in"), str(tmp_path / fit), "--resolution", "8", "--fit", fit])
        said = capsys.readouterr().out
        assert f"scaled up: {len(named)}: {', '.join(named)} (smaller than 8 px)" in said
        assert "skipped: 1: tiny.png (1 × 90 px, too small for 8)" in said
        assert dataset.info(tmp_path / fit)["enlarged"] == named
    dataset.main(["pack", str(tmp_path / "in"), str(tmp_path / "small"), "--resolution", "4"])
    assert "skipped: none" in (said := capsys.readouterr().out) and "scaled up: 1: tiny.png (smaller than 4 px)" in said
    with pytest.raises(ValueError, match="1 of 5 pictures cannot be read.*tiny.png .1 × 90 px, too small for 8"):
        data.load(tmp_path / "in", 8, 99, 0, "cpu")


def test_pictures_that_cannot_be_read_are_left_out_and_reported(folder, tmp_path, capsys):
    shutil.copytree(folder, tmp_path / "in")
    (tmp_path / "in" / "cats" / "bad.png").write_bytes(b"no picture")
    (tmp_path / "in" / "dogs" / "empty.jpg").write_bytes(b"")
    (tmp_path / "in" / "notes.txt").write_text("")
    dataset.main(["pack", str(tmp_path / "in"), str(tmp_path / "out"), "--resolution", "8"])
    said = capsys.readouterr().out
    assert "22 pictures as images of 8 px take 4.1 KiB, and the disk of" in said and "left out: 1 .txt" in said
    assert "20 images of 8 px" in said and "classes: cats 15, dogs 5" in said
    assert "skipped: 2: cats/bad.png, dogs/empty.jpg (no picture in a format" in said
    assert torch.equal(data.load(tmp_path / "out", 8, 99, 0, "cpu"), data.load(folder, 8, 99, 0, "cpu"))
    dataset.main(["info", str(tmp_path / "out"), "--check"])
    assert capsys.readouterr().out == said[said.index(f"{tmp_path / 'out'}: 20"):]
    for path in images.find(folder).names:
        (tmp_path / "in" / path).write_bytes(b"")
    with pytest.raises(ValueError, match="none of the 22 pictures in .* can be read: .*bad.png"):
        dataset.pack(tmp_path / "in", tmp_path / "none", 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize("kept, lost", [(0, 9999), (5, 9999), (9999, 9999), (400, 0), (9999, 700), (9999, 1), (700, 500)])
def test_packing_that_was_killed_goes_on_to_the_same_set(kept, lost, folder, packed, tmp_path, monkeypatch):
    """kept: bytes of the journal; lost: bytes of the images that the disk never saw."""
    read, calls = dataset.square, []

    def killed(*args):
        calls.append(args)
        if len(calls) == 15:
            raise KeyboardInterrupt
        return read(*args)

    out, partial = tmp_path / "set", tmp_path / "set.partial"
    with monkeypatch.context() as patched:
        patched.setattr(dataset, "square", killed)
        patched.setattr(dataset, "THREADS", 1)
        with pytest.raises(KeyboardInterrupt):
            dataset.pack(folder, out, 8)
    assert not out.exists()
    journal, store = partial / "journal.jsonl", partial / "images.npy"
    assert journal.read_bytes().count(b"\n") == 15
    os.truncate(journal, min(kept, journal.stat().st_size))
    os.truncate(store, max(0, store.stat().st_size - lost))
    done = max(0, journal.read_bytes().count(b"\n") - 1)
    calls.clear()
    monkeypatch.setattr(dataset, "square", lambda *args: calls.append(args) or read(*args))
    dataset.pack(folder, out, 8)
    assert contents(out) == contents(packed) and not partial.exists()
    assert len(calls) >= 20 - done and (lost or len(calls) == 20 - done)


def test_nothing_that_a_pack_did_not_make_is_written_over(folder, packed, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    (tmp_path / "foreign.partial").mkdir()
    (tmp_path / "foreign.partial" / "mine.txt").write_text("mine")
    (tmp_path / "other.partial").mkdir()
    (tmp_path / "other.partial" / "journal.jsonl").write_text('{"format": "course_lib packed set 1", "resolution": 16}\n')
    (tmp_path / "empty.partial").mkdir()
    (tmp_path / "empty.partial" / "journal.jsonl").write_text("")
    (tmp_path / "empty.partial" / "images.npy").write_text("mine")
    (tmp_path / "file.partial").write_text("mine")
    monkeypatch.setattr(dataset, "_write", None)                # nothing may get so far
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileExistsError, match="there exists already and is not overwritten"):
        dataset.pack(folder, tmp_path / "there", 8)
    for name in ("foreign", "other", "empty", "file"):
        with pytest.raises(FileExistsError, match=f"{name}.partial is not the beginning of this set"):
            dataset.pack(folder, tmp_path / name, 8)
    with pytest.raises(ValueError, match="is a packed set already"):
        dataset.pack(packed, tmp_path / "new", 8)
    with pytest.raises(ValueError, match="holds no pictures .*Pass a folder or a zip of pictures"):
        dataset.pack(tmp_path / "there", tmp_path / "new", 8)
    disk = namedtuple("disk", "total used free")(2 ** 40, 2 ** 40, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk)
    with pytest.raises(OSError, match="20 pictures as images of 1024 px take 60.0 MiB, and the disk of .* has 1.0 KiB free; take"):
        dataset.pack(folder, tmp_path / "new", 1024)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_stopped_command_says_where_it_goes_on(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(dataset, "_write", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(SystemExit) as end:
        dataset.main(["pack", str(folder), str(tmp_path / "out")])
    assert end.value.code == 130
    assert f"stopped; what is done stays in {tmp_path / 'out'}.partial, and the same command goes on" in capsys.readouterr().err


class Bomb:
    def __reduce__(self):
        return os.abort, ()


def damaged(path):
    """Folder after folder in which one thing is wrong."""
    about = json.loads((path / "info.json").read_text())
    changes = [about | change for change in (
        {"format": "2"}, {"count": 19}, {"count": 0}, {"count": True}, {"count": "20"}, {"count": 10 ** 30}, {"resolution": 16},
        {"resolution": 8.5}, {"names": None}, {"names": about["names"][:-1]}, {"names": [1] * 20}, {"skipped": []},
        {"skipped": {"a": [1]}}, {"source": 1}, {"enlarged": [3]})]
    optional = "classes", "left_out", "enlarged"
    changes += [{key: about[key] for key in about if key != gone} for gone in about if gone not in optional]
    for text in [*map(json.dumps, changes), "", "[]", "null", "[" * 100_000]:
        (path / "info.json").write_text(text)
        yield text[:60]
    (path / "info.json").write_text(json.dumps(about))
    whole = (path / "images.npy").read_bytes()
    for content in (whole[:-1], whole + b"0", whole[:50], b"", whole.replace(b"|u1", b"|O1"), whole.replace(b"False", b"True "),
                    whole.replace(b"(20, ", b"(" * 60 + b"20, "), b"\x93NUMPY\x02\x00" + whole[8:]):
        (path / "images.npy").write_bytes(content)
        yield content[:60]
    np.save(path / "images.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    yield "a pickle"


def test_damaged_sets_are_refused_in_one_line_and_run_nothing(packed, tmp_path):
    path = Path(shutil.copytree(packed, tmp_path / "set"))
    for what in damaged(path):
        with pytest.raises(ValueError, match="is no packed set, or a damaged one") as error:
            print(what, dataset.open_set(path))
        assert "\n" not in str(error.value)


# Zips

def test_of_a_zip_pictures_count_as_if_it_had_been_unpacked(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name in images.find(folder).names:
            file.write(folder / name, f"top/in/{name}")
        for name in ("top/in/cats/.hidden.png", "__MACOSX/in/a.png", "top/../../up.png", "top/readme.txt", "top/more.tar"):
            file.writestr(name, "nothing")
        file.mkdir("top/in/empty")
    found = images.find(tmp_path / "a.zip")
    assert found.names == images.find(folder).names
    assert found.left_out == {".tar (unpack it)": 1, ".txt": 1, "hidden": 3}
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[200] ^= 255                                         # within the first picture
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"1 of 20 pictures cannot be read; .*b.zip/top/in/cats/00.png"):
        data.load(tmp_path / "b.zip", 8, 20, 0, "cpu")
    for cut in (10, len(content) // 2, len(content) - 1):
        (tmp_path / "c.zip").write_bytes(content[:cut])
        with pytest.raises(ValueError, match="c.zip is no zip, or a damaged one"):
            images.find(tmp_path / "c.zip")


# Batches

def streamed(source, size=8, **options):
    reals = data.Streamed(data.select(source, 100, 0), 8, "cpu", **options)
    return reals, reals.batches(size)


def batch(reals, draw, step):
    reals.prepare(step)
    return draw()[0].clone()


def test_a_batch_depends_on_seed_process_and_step_and_on_nothing_else(folder, packed, monkeypatch):
    reals, draw = streamed(packed, mirror=True)
    first = [batch(reals, draw, step) for step in range(12)]
    torch.manual_seed(99)
    other, draw_other = streamed(folder, mirror=True)
    assert all(torch.equal(batch(other, draw_other, step), first[step]) for step in (7, 8, 3, 4, 11, 0))
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    assert not torch.equal(batch(*streamed(packed, mirror=True), 0), first[0])
    assert all(not torch.equal(a, b) for a, b in zip(first, first[1:]))


def test_every_image_comes_about_as_often_and_half_of_them_mirrored(packed):
    whole = data.load(packed, 8, 100, 0, "cpu")
    pair = torch.stack([whole, whole.flip(3)]).flatten(2)       # [2, 20, pixels]
    torch.manual_seed(0)
    resident = data.Resident(whole, mirror=True)
    for reals, draw in (streamed(packed, 64, mirror=True), (resident, resident.batches(64))):
        counts = torch.zeros(2, 20)
        for step in range(20):
            match = (batch(reals, draw, step).flatten(1)[:, None, None] == pair).all(dim=3)                 # [64, 2, 20]
            assert (match.sum(dim=(1, 2)) == 1).all()
            counts += match.sum(dim=0)
        expected = 20 * 64 / 40
        assert (counts - expected).square().sum() / expected < 73           # χ² of 39 degrees, p = 0.001
    plain, draw = streamed(packed, 64)
    assert (batch(plain, draw, 0).flatten(1)[:, None] == pair[0]).all(dim=2).any(dim=1).all()


def test_labels_stay_with_their_images_and_are_drawn_as_often_as_they_are_there(folder, packed):
    settings = StyleGAN2Settings(classes=data.classes(data.select(packed, 100, 0)), resolution=8, data_size=100)
    assert settings.classes == ["cats", "dogs"]
    dogs = {image.tobytes() for image, name in zip(data.load(folder, 8, 100, 0, "cpu").numpy(), images.find(folder).names)
            if name.startswith("dogs")}
    for where in (False, True):
        reals = data.reals(data.select(packed, 100, 0), replace(settings, streamed=where), "cpu")
        draw = reals.batches(32)
        reals.prepare(0)
        found, c = draw()
        assert c.tolist() == [[0, 1] if image.tobytes() in dogs else [1, 0] for image in found.numpy()] and 0 < c[:, 1].sum() < 32
        torch.manual_seed(0)
        assert abs(reals.labels.draw(4000)[:, 1].mean() - 0.25) < 0.03
    assert data.Resident(torch.zeros(4, 3, 8, 8)).batches(2)()[1].shape == (2, 0)


def test_both_networks_get_the_class_of_every_image(tmp_path):
    s = replace(options.as_typed(*TINY, "--batch-gpu", "4"), classes=["black", "white"])
    built = stylegan2.build(s, "cpu")
    classes = torch.tensor([0, 1, 1])
    reals = data.Resident((255 * classes).byte()[:, None, None, None].expand(-1, 3, 8, 8), classes)
    seen, mapped = [], []
    built.D.register_forward_pre_hook(lambda _, args: seen.append((args[0].detach().clone(), args[1])))
    built.G.mapping.register_forward_pre_hook(lambda _, args: mapped.append(args[1]))
    for phase in stylegan2.phases(built, reals, s, "cpu", 10.0):
        seen.clear()
        phase.step()
        x, c = map(torch.cat, zip(*seen)) if seen else (torch.zeros(0, 3, 8, 8), torch.zeros(0, 2))
        uniform = (x == x[:, :1, :1, :1]).all(dim=(1, 2, 3))
        assert uniform.sum() == {"discriminator": 8, "r1": 8}.get(phase.name, 0)
        assert torch.equal(c[uniform][:, 1] * 2 - 1, x[uniform].mean(dim=(1, 2, 3)))
    assert all(torch.equal(*c.chunk(2)) for c in mapped)                    # of the two latents of an image
    assert sum(map(len, mapped)) == 16 + 8 + 16
    images, c = torch.randn(2, 8, 3, 8, 8), torch.eye(2)[torch.randint(2, [2, 8])]
    both = stylegan2.judge_both(built.D, *images, labels=tuple(c))
    assert all(torch.allclose(logits, built.D(x, row), atol=1e-5) for logits, x, row in zip(both, images, c))


# Runs

def run(out, source, total, *more, options=TINY):
    train.main([*options, "--data", str(source), "--out", str(out), "--images", str(total), *more])


def state(out):
    return load_file(checkpoint.folders(out)[-1] / "state.safetensors")


def same(a, b):
    a, b = state(a), state(b)
    return a.keys() == b.keys() and not [key for key in a if not torch.equal(a[key], b[key])]


@pytest.mark.parametrize("options", [TINY, GROWING], ids=["stylegan2", "pggan"])
@pytest.mark.parametrize("where", ["resident", "streamed"])
def test_a_resumed_run_takes_the_batches_of_an_uninterrupted_one(where, options, packed, tmp_path):
    more = ["--mirror", *(STREAMED if where == "streamed" else []), *(["--labels"] if options is TINY else [])]
    run(tmp_path / "whole", packed, 176, *more, options=options)
    run(tmp_path / "cut", packed, 88, *more, options=options)
    run(tmp_path / "cut", packed, 176, "--resume", options=options)
    assert same(tmp_path / "whole", tmp_path / "cut")
    assert checkpoint.settings(checkpoint.folders(tmp_path / "cut")[-1]).streamed == (where == "streamed")


def test_a_streamed_folder_zip_and_set_train_the_same_weights_and_a_run_may_change_between_them(folder, archive, packed, tmp_path):
    for name, source in (("folder", folder), ("zip", archive), ("set", packed)):
        run(tmp_path / name, source, 80, *STREAMED)
    assert same(tmp_path / "folder", tmp_path / "zip") and same(tmp_path / "folder", tmp_path / "set")
    run(tmp_path / "folder", folder, 120, "--resume")
    run(tmp_path / "set", archive, 120, "--resume")
    assert same(tmp_path / "folder", tmp_path / "set")


@pytest.mark.parametrize("harm", ["deleted", "cut off"])
@pytest.mark.parametrize("kind", ["folder", "set"])
def test_images_that_turn_bad_end_a_run_in_a_sentence_and_nothing_is_lost(kind, harm, folder, packed, tmp_path, monkeypatch):
    source = Path(shutil.copytree(folder if kind == "folder" else packed, tmp_path / "source"))
    files = [path for path in source.rglob("*") if path.suffix in (".png", ".tif", ".npy")]
    whole = {path: path.read_bytes() for path in files}
    run(tmp_path / "whole", source, 240, *STREAMED, "--checkpoint-every", "1m")
    decay = schedule.ema_decay

    def turn_bad(at, *args, **options):
        for path in files if at == 48 else ():
            path.unlink() if harm == "deleted" else os.truncate(path, 200)
        return decay(at, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(schedule, "ema_decay", turn_bad)
        with pytest.raises(SystemExit) as end:
            run(tmp_path / "cut", source, 240, *STREAMED, "--checkpoint-every", "1m")
    last, = checkpoint.folders(tmp_path / "cut")
    assert 48 < int(last.name) < 240
    said = str(end.value.code)
    assert str(source) in said and f"the last good checkpoint is {last}" in said and "\n" not in said
    assert ("No such file" if harm == "deleted" else "cut off" if kind == "set" else "cannot be read") in said
    for path, content in whole.items():
        path.write_bytes(content)
    run(tmp_path / "cut", source, 240, "--checkpoint-every", "1m", "--resume")
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_several_processes_stop_together_where_they_ask_each_other(packed, tmp_path, monkeypatch, capsys):
    """A process that cannot read goes on with its last batch until all stop: alone, it would leave the others waiting."""
    asked = []
    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed, "per_rank", lambda batch: batch)
    monkeypatch.setattr(distributed, "average", lambda tensors: None)
    monkeypatch.setattr(distributed, "all_gather", lambda value: asked.append(value) or [value])
    s = replace(options.as_typed(*TINY), images=240, log_every=40, checkpoint_every=10 ** 6)
    torch.manual_seed(0)
    built, (reals, _) = stylegan2.build(s, "cpu"), streamed(packed)
    prepare, failing = reals.prepare, []

    def unreadable(step):
        if step >= 2:
            failing.append(step)
            raise OSError("a.png cannot be read")
        prepare(step)

    reals.prepare = unreadable
    with pytest.raises(OSError, match="a.png cannot be read; the last good checkpoint is .*0000000040"):
        loop.train(tmp_path, built, stylegan2.plan(built, reals, s, "cpu"), s, "cpu", progress=False)
    assert failing == [2] and True in asked and "process 0: a.png cannot be read; the run stops soon" in capsys.readouterr().err


def test_more_images_than_fit_are_streamed_and_stay_so(packed, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patched:
        patched.setattr(data, "free_memory", lambda device: 19 * 192 / data.SHARE)
        patched.setattr(train.options, "check_memory", lambda *_: None)
        run(tmp_path / "run", packed, 8)
    assert "images are read while it trains" in capsys.readouterr().out
    run(tmp_path / "run", packed, 80, "--resume")
    run(tmp_path / "asked", packed, 80, *STREAMED)
    assert same(tmp_path / "run", tmp_path / "asked")


def test_a_model_of_classes_knows_their_names_and_shows_them_row_by_row(folder, packed, tmp_path, capsys):
    run(tmp_path / "run", folder, 80, "--labels")
    assert all(json.loads(zoo.metadata(path)["classes"]) == ["cats", "dogs"]
               for path in (tmp_path / "run").rglob("G*.safetensors"))
    path = checkpoint.folders(tmp_path / "run")[-1] / "G_ema.safetensors"
    G = zoo.load(path)
    assert G.c_dim == 2
    __main__.main(["info", str(path)])
    assert '"classes": ["cats", "dogs"]' in capsys.readouterr().out
    loop.save_samples(tmp_path / "rows.png", G, 2, 4)
    loop.save_samples(tmp_path / "dogs.png", G, 2, 4, c=1)
    rows, dogs = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("rows", "dogs"))
    assert (rows[8:] == dogs[8:]).all() and (rows[:8] != dogs[:8]).any()


def test_images_and_options_that_do_not_go_together_are_named(folder, packed, tmp_path):
    out = tmp_path / "run"

    def refused(source, *more):
        with pytest.raises(SystemExit) as end:
            run(out, source, 80, *more)
        assert not out.exists()
        return str(end.value.code)

    assert "holds images of 8 px, not of 16; take --resolution 8, or pack" in refused(packed, "--resolution", "16")
    assert "and portraits lie in none; sort all pictures into two folders or more" in refused("portraits", "--labels")
    assert "and 00.png lies in none; sort all pictures" in refused(folder / "cats", "--labels")
    one = tmp_path / "one"
    shutil.copytree(folder / "cats", one / "cats")
    assert 'and "cats" is the only one; sort' in refused(one, "--labels")
    assert "--data-cache is for pictures on a disk" in refused("portraits", "--data-cache", "4")
    assert "is no packed set, or a damaged one" in refused(shutil.copytree(packed, tmp_path / "bad", copy_function=empty))
    run(out, folder, 8, "--labels")
    shutil.copytree(folder, tmp_path / "more")
    (tmp_path / "more" / "dogs").rename(tmp_path / "more" / "wolves")
    with pytest.raises(SystemExit, match="was trained on the classes cats, dogs, and those in .* are cats, wolves"):
        run(out, tmp_path / "more", 80, "--resume")
    with pytest.raises(SystemExit, match="was started without --mirror and goes on so"):
        run(out, folder, 80, "--resume", "--mirror")


def empty(source, target):
    return Path(target).write_bytes(b"")
