"""Pictures: read as people see them, found in a folder, and checked where they enter a network."""
import contextlib
import io
import math
import os
from collections import Counter
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError, features

SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm",
            ".pnm", ".pfm", ".tga", ".jp2", ".j2k", ".avif", ".heic", ".heif", ".hif", ".jxl")
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
HIDDEN = ("__MACOSX", "@eaDir", "$RECYCLE.BIN")     # what systems keep beside people's files; names with a dot are hidden too
RUN = ("samples", "checkpoints", "snapshots")       # what training writes
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
LIMIT = 100         # trained generators of ours stay within ±2 at ψ = 1 and ±6 at ψ = 2; untrained ones reach tens


def read(path):
    """A picture as a viewer shows it, an RGB PIL image: upright, in sRGB, on white where it is transparent, the first of its frames.

    Greys of 16 or 32 bits are scaled to 8. ValueError with the file's name if it is no picture, damaged or too large to be one.
    """
    try:
        with _open(path) as image:
            image.load()                            # first, for a PNG's orientation may follow its pixels
            return _as_seen(image)
    except UnidentifiedImageError:
        raise ValueError(f"{path} cannot be read: no picture in a format that is known here, or damaged") from None
    except Exception as error:                      # decoders raise whatever a damaged file makes of them
        raise ValueError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _open(path):
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        with open(path, "rb") as file:
            head = file.read(12)
        if head[4:8] == b"ftyp" and head[8:] in HEIC:
            try:
                import pillow_heif
            except ImportError:
                raise ValueError("a HEIC picture needs a package of its own: pip install pillow-heif, or save it as JPEG") from None
            pillow_heif.register_heif_opener()
            return Image.open(path)
        if head[4:12] in (b"ftypavif", b"ftypavis") and not features.check("avif"):
            raise ValueError("for AVIF pictures this Pillow is too old: pip install --upgrade pillow, or save it as JPEG") from None
        if head[:2] == b"\xff\x0a" or head[4:8] == b"JXL ":
            raise ValueError("Pillow does not read JPEG XL; save it as PNG or JPEG") from None
        raise


def _as_seen(image):
    upright = image
    with contextlib.suppress(Exception):            # a damaged EXIF block turns nothing
        upright = ImageOps.exif_transpose(image)
    profile = image.info.get("icc_profile")
    if upright.mode[0] in "IF":
        upright = _eight_bit(upright, image)
    elif upright.mode in ("P", "PA", "La", "RGBa") or "transparency" in image.info:
        upright = upright.convert("RGBA")
    alpha = upright.getchannel("A") if "A" in upright.getbands() and upright.mode != "LAB" else None
    colour = upright.convert({"LA": "L", "L": "L", "1": "L", "CMYK": "CMYK", "LAB": "LAB"}.get(upright.mode, "RGB"))
    colour = _in_srgb(colour, profile)
    if alpha is not None:
        white = Image.new("RGB", colour.size, "white")
        white.paste(colour, mask=alpha)
        return white
    return colour


def _eight_bit(image, file):
    """Grey of 16 or 32 bits as 8. 16 bits count from 0 to 65535, whatever the picture holds. What 32 bits mean is not said in a file:
    0 … 1 (floats), 0 … 255 or 0 … 65535, the first that holds the values (99 % of floats), else from the smallest to the largest."""
    values, tags, clear = np.asarray(image).astype(np.float64), getattr(file, "tag_v2", {}), file.info.get("transparency")
    values[~np.isfinite(values)] = 0
    if image.mode.startswith("I;16") or image.mode == "I" and file.format in ("PNG", "PPM"):
        low, high = 0, 4095 if tags.get(258) == (12,) else 65535
    else:
        least, most = (values.min(), values.max()) if image.mode == "I" else np.percentile(values, (1, 99)) / 1.1
        usual = [top for top in ((255, 65535) if image.mode == "I" else (1, 255)) if most <= top and least > -0.1 * most]
        low, high = (0, usual[0]) if usual else (values.min(), values.max())
    grey = ((values - low) / max(high - low, 1e-9)).clip(0, 1)
    if tags.get(262) == 0:                          # TIFF: 0 is white
        grey = 1 - grey
    grey = Image.fromarray((grey * 255).round().astype(np.uint8))
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _in_srgb(image, profile):
    """Colours by their profile; one that is damaged, or belongs to another kind of picture, is left aside."""
    if profile or image.mode == "LAB":
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
            return ImageCms.applyTransform(image, _transform(profile if image.mode != "LAB" else None, image.mode))
    return image.convert("RGB")


@lru_cache(maxsize=16)
def _transform(profile, mode):
    source = ImageCms.getOpenProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")


class Pictures(NamedTuple):
    """What a folder holds: its pictures, sorted by their names under it, and how many of everything else, {what: number}."""
    files: list
    left_out: dict


def find(folder):
    """The Pictures of a folder and all folders in it, linked ones too, each file once.

    A picture is a file with one of SUFFIXES, in capitals or not. Left out are hidden files and folders, and what training wrote: a
    folder that holds a run, or, of `folder` itself, the run's samples, checkpoints and snapshots.
    """
    folder, left_out, found, seen = Path(folder), Counter(), [], set()
    if not folder.is_dir():
        if not folder.exists():
            raise FileNotFoundError(f'there is no folder "{folder}"')
        archive = folder.suffix.lower() in ARCHIVES
        raise ValueError(f"{folder} is {'an archive; unpack it' if archive else 'a file'}; pass a folder of pictures")
    todo = [folder]
    while todo:
        place = todo.pop()
        real = os.path.realpath(place)
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError:
            if place == folder:
                raise
            left_out["folder that cannot be opened"] += 1
            continue
        names = {entry.name for entry in entries}
        trained = "settings.json" in names and bool(names & {"log.jsonl", "run.json"})
        if trained and place != folder:
            left_out["folder of a training run"] += 1
            continue
        for entry in entries:
            suffix = os.path.splitext(entry.name)[1].lower()
            itself = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real, entry.name)
            if entry.name.startswith(".") or entry.name in HIDDEN:
                left_out["hidden"] += 1
            elif entry.is_dir():
                if trained and entry.name in RUN:
                    left_out["folder of a training run"] += 1
                else:
                    todo.append(Path(entry.path))
            elif not entry.is_file():
                left_out["broken link" if entry.is_symlink() else "special file"] += 1
            elif suffix not in SUFFIXES:
                left_out[f"{suffix or 'without suffix'}{' (unpack it)' if suffix in ARCHIVES else ''}"] += 1
            elif itself in seen:
                left_out["linked twice"] += 1
            else:
                seen.add(itself)
                found.append(Path(entry.path))
    return Pictures(sorted(found, key=lambda path: path.relative_to(folder).as_posix()), dict(sorted(left_out.items())))


def described(left_out):
    """"3 hidden, 2 .txt" of what `find` left out; empty if nothing was."""
    return ", ".join(f"{number} {what}" for what, number in left_out.items())


_unchecked = ContextVar("unchecked", default=False)


@contextlib.contextmanager
def unchecked():
    """Within this, or within a function decorated with it, `check` looks at no values: for images that truly have no dark pixel anywhere,
    and for those of generators, however bad."""
    token = _unchecked.set(True)
    try:
        yield
    finally:
        _unchecked.reset(token)


def check(images, channels=(3,), name="images", shown=False):
    """Refuse images that are not floats [N, C, H, W] in about [-1, 1], with the formula that converts them; returns the others.

    Generators exceed [-1, 1], untrained ones far: values may reach ±100. What tells other scales is that a batch has nothing darker than
    0, the middle grey; batches of one colour pass, and `unchecked` lets others pass. shown: they are only shown, so that all bright or
    far too large ones may pass. Values are looked at where images enter, not in the course of a computation: not if they come with a
    gradient, nor while a step is compiled or captured. Raises ValueError.
    """
    wanted = f"[N, {' or '.join(map(str, channels))}, H, W] in [-1, 1]"
    if not isinstance(images, torch.Tensor):
        raise ValueError(f"{name} are of type {type(images).__name__}; pass a tensor {wanted}")
    shape = list(images.shape)
    if images.ndim != 4 or shape[1] not in channels:
        hint = ("; images.permute(0, 3, 1, 2) puts the channels there" if len(shape) == 4 and shape[3] in channels else
                "; images[None] makes a batch of one" if len(shape) == 3 and shape[0] in channels else
                "; images.expand(-1, 3, -1, -1) makes three channels of a grey one" if len(shape) == 4 and shape[1] == 1 else "")
        raise ValueError(f"{name} have shape {shape}; pass {wanted}{hint}")
    if not images.is_floating_point():
        raise ValueError(f"{name} are {str(images.dtype).removeprefix('torch.')}; pass floats in [-1, 1]: images.float() / 127.5 - 1")
    computed = images.grad_fn is not None or images.is_meta or torch.compiler.is_compiling() or (
        images.is_cuda and torch.cuda.is_current_stream_capturing())
    if computed or _unchecked.get() or not images.numel():
        return images
    low, high = torch.stack(images.detach().aminmax()).tolist()
    if not math.isfinite(low + high):
        if shown:
            return images
        wrong = (~images.detach().flatten(1).isfinite().all(dim=1)).nonzero()[:, 0].tolist()
        raise ValueError(f"{name} hold NaN or infinity in images {wrong[:10]}{' and others' * (len(wrong) > 10)}")
    bytes_or_words = "images / 127.5 - 1" if high < 256 else "images / 32767.5 - 1"
    if max(-low, high) > LIMIT and (low >= 0 or not shown):
        scale = bytes_or_words if low > -high / 4 else "images / 127.5 if they count from -127.5 to 127.5"
        raise ValueError(f"{name} lie between {low:.3g} and {high:.3g}, not about [-1, 1]; pass {scale}")
    if high - low > 0.1 and low >= (-0.1 * high if high < 1.5 else 0) and not shown:        # resampling leads a little below 0
        scale = "images * 2 - 1" if high < 1.5 else bytes_or_words
        raise ValueError(f"{name} lie between {low:.3g} and {high:.3g}, not about [-1, 1]; pass {scale}. If they really are as bright as "
                         "that, make this call within course_lib.images.unchecked()")
    return images


def in_colour(images):
    """Grey images [N, 1, H, W] with their grey as red, green and blue, [N, 3, H, W]; all else as it is."""
    grey = isinstance(images, torch.Tensor) and images.ndim == 4 and images.shape[1] == 1
    return images.expand(-1, 3, -1, -1) if grey else images
