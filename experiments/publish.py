"""Publish the generator and discriminator of a training run as a model of the course.

    python experiments/publish.py runs/portraits-64 stylegan2-portraits-64
    python experiments/publish.py runs/pggan pggan-portraits-64 --no-discriminator --part 8=225k --part 16=525k

Writes NAME.safetensors and NAME-D.safetensors in float16 and the card in models.json; then in results/ the run's settings, log and
Fréchet distance of every snapshot (NAME-training.json), and the report on the generator. A part is a snapshot of the run, which
`zoo.load(NAME, "8")` then finds. A run that began with the model of this name (--init NAME) continues its history. Last it prints
the lines for data/README.md. On a CPU the report takes half an hour.
"""
import hashlib
import json
import os
from functools import cache
from pathlib import Path

import torch

from course_lib import commands, portraits, results, zoo
from course_lib.metrics import __main__ as command
from course_lib.metrics import generators
from course_lib.training import checkpoint


def main(arguments=None):
    parser = commands.Parser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder that course_lib.train wrote")
    parser.add_argument("name", help="name of the model in the zoo")
    parser.add_argument("--part", action="append", default=[], metavar="PART=IMAGES",
                        help="a snapshot to publish beside the last one")
    parser.add_argument("--no-discriminator", action="store_true", help="leave the discriminator out")
    parser.add_argument("--samples", type=commands.whole(1000), default="20k",
                        help="images for the report; a quarter of them for each snapshot")
    parser.add_argument("--seed", type=commands.seed, default=1, help="seed of the latents")
    parser.add_argument("--data", type=Path, default=zoo.DATA, help="folder for the files")
    parser.add_argument("--device", type=commands.device, default=commands.default_device(), help="cpu, cuda or cuda:N")
    args = parser.parse_args(arguments)
    with commands.sentences("python experiments/publish.py"):
        publish(args)


def publish(args):
    """Copy, measure and describe the run."""
    commands.no_mps(args.device, "measurements compute in float64")
    commands.try_folder(args.data / "results")
    if not checkpoint.folders(args.run):
        raise ValueError(f"{args.run} has no checkpoint; name a folder that python -m course_lib.train wrote")
    last, about = checkpoint.folders(args.run)[-1], json.loads((args.run / "run.json").read_text())
    settings = checkpoint.settings(last)
    if settings.dataset_version != portraits.VERSION:
        raise ValueError(f"{args.run} was trained on version {settings.dataset_version} of Portraits; this is version "
                         f"{portraits.VERSION}")

    history = _history(args, about, settings)
    sources = {"G": last / "G_ema.safetensors"} | dict(_snapshot(args.run, part) for part in args.part)
    files = {part: _copy(path, args, "" if part == "G" else f"-{part}") for part, path in sources.items()}
    if not args.no_discriminator:
        files["D"] = _discriminator(last, args)
    images = history["images"] + int(last.name)
    add_card(args.data / "models.json", args.name, {"kind": settings.model, zoo.DATASET_VERSION: portraits.VERSION,
                                                    "command": history["command"], "images": images, "files": files})
    log = [json.loads(line) for line in (args.run / "log.jsonl").read_text().splitlines()]
    later = lambda rows: [row | {"images": row["images"] + history["images"]} for row in rows]
    shares = [{"images": line["images"], "shares": line["rgb_shares"]} for line in log if "rgb_shares" in line]
    frechet = curve(args)
    frechet["rows"] = history["frechet"] + later(frechet["rows"])
    result = {**results.header(history["command"], [settings.seed]), "device": about["device"],
              "torch": about["torch"], "settings": settings.stored(), "minutes": round(history["minutes"] + minutes(log), 1),
              "log": thinned(history["log"] + later(log)), "rgb_shares": history["rgb_shares"] + later(shares), "frechet": frechet}
    path = args.data / "results" / f"{args.name}-training.json"
    commands.write_json(path, results.rounded(result), replace=True)
    for old in (".json", ".png", "-audit.png"):             # the report on the model that had this name
        (args.data / "results" / f"{args.name}{old}").unlink(missing_ok=True)
    file = os.path.relpath(args.data / files["G"]["file"])
    command.main(["report", file, "--samples", str(args.samples), "--seed", str(args.seed),
                  "--device", args.device, "--out", os.path.relpath(args.data / "results" / f"{args.name}.json")])
    for part, file in files.items():
        size = (args.data / file["file"]).stat().st_size / 1e6
        print(f"| `{file['file'].removesuffix('.safetensors')}` | {part} | {size:.1f} | {images:,} | `{file['sha256'][:12]}` |")
    print(f"{history['command']}\n{result['minutes']} minutes on {about['device']}")


def _history(args, about, settings):
    """What came before the run: nothing, or the training of the published model that it began with."""
    before = {"command": about["command"], "images": 0, "minutes": 0.0, "log": [], "rgb_shares": [], "frechet": []}
    if settings.init != args.name:
        return before
    old = json.loads((args.data / "results" / f"{args.name}-training.json").read_text())
    card = json.loads((args.data / "models.json").read_text())[args.name]
    return {"command": f"{old['command']}; {old['frechet']['command']}; {about['command']}", "images": card["images"],
            "minutes": old["minutes"], "log": old["log"], "rgb_shares": old["rgb_shares"], "frechet": old["frechet"]["rows"]}


def _snapshot(run, part):
    """"8=225k" → ("8", the snapshot after so many images, or up to one step more)."""
    name, _, text = part.partition("=")
    images = commands.whole(0)(text)
    found = {int(path.stem[2:]): path for path in (run / "snapshots").glob("G-*.safetensors")}
    after = [at for at in sorted(found) if at >= images]
    if not after or after[0] > 1.01 * images:
        raise ValueError(f"{run} has no snapshot after {images} images; there are {', '.join(map(str, sorted(found)))}")
    return name, found[after[0]]


def _copy(path, args, suffix):
    tensors, metadata = zoo.read(path)
    return _written(args, suffix, tensors, metadata["kind"], metadata)


def _discriminator(last, args):
    D = zoo.contents(last / "G_ema.safetensors").read("D")
    return _written(args, "-D", D.tensors, D.kind, {"config": json.dumps(D.config)})


def _written(args, suffix, tensors, kind, metadata):
    file = args.data / f"{args.name}{suffix}.safetensors"
    zoo.save(file, tensors, kind, dtype=torch.float16, replace=True, dataset_version=portraits.VERSION, config=metadata["config"])
    return {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def add_card(path, name, card):
    """Put a model into models.json, or its new card in the place of the old one."""
    models = json.loads(path.read_text()) if path.exists() else {}
    commands.write_json(path, models | {name: card}, replace=True)


def minutes(log):
    """Training time, without what was spent on checkpoints and samples."""
    steps = zip([0] + [line["images"] for line in log], log)
    return sum((line["images"] - before) / line["img_per_s"] for before, line in steps) / 60


def thinned(log, most=100):
    """Every so many lines of a log, the last among them."""
    every = -(-len(log) // most)
    return log[::-1][::every][::-1]


def curve(args):
    """The Fréchet distance of every snapshot, at its own resolution."""
    oracle, rows, samples = zoo.load("oracle-portraits-64", device=args.device), [], max(args.samples // 4, 300)

    @cache
    def real_features(resolution):
        return generators.features(oracle, generators.rendered(samples, generators.REFERENCE_SEED, resolution, args.device))

    for path in sorted((args.run / "snapshots").glob("G-*.safetensors")):
        G = zoo.load(path, device=args.device)
        images = generators.features(oracle, generators.generated(G, samples, args.seed))
        rows.append({"images": int(path.stem[2:]), "resolution": G.resolution}
                    | generators.compare(real_features(G.resolution), images, ("frechet",)))
    return {"command": f"python experiments/publish.py {args.run} {args.name}", "samples": samples, "rows": rows}


if __name__ == "__main__":
    main()
