"""Films: frames written one after the other, as .mp4 by ffmpeg, or as animated .webp or .gif, which loop, by Pillow."""
import itertools
from pathlib import Path

from . import files
from .images import to_pil

SUFFIXES = ".mp4", ".webp", ".gif"


def check(path):
    """Raise ValueError for a path that names no film, and for an .mp4 where the package for it is not installed."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        if not suffix:
            raise ValueError(f"{path} has no ending; name {path}.mp4, {path}.webp or {path}.gif")
        raise ValueError(f'{path}: "{suffix}" is no format of films here; name an .mp4, a .webp or a .gif')
    if suffix == ".mp4":
        try:
            import imageio_ffmpeg  # noqa: F401
        except ImportError:
            raise ValueError(f"{path}: an .mp4 needs one more package (pip install imageio-ffmpeg); without it name a .webp or a "
                             ".gif") from None


def write(path, frames, count, fps=30.0):
    """Write `count` frames, an iterable of uint8 images [3, H, W] on the CPU, as a film in the format of the path's suffix
    (`check`). → the path

    A .gif counts time in hundredths of a second, a .webp in thousandths: single frames are rounded, the whole is not. Raises
    OSError where a file lies at `path`, and where it cannot be written; nothing stays then.
    """
    check(path)
    path = Path(path)
    with files.writing(path) as partial:
        if path.suffix.lower() == ".mp4":
            _write_mp4(partial, frames, fps)
        else:
            unit = 10 if path.suffix.lower() == ".gif" else 1       # milliseconds
            ends = [round(1000 * i / fps / unit) * unit for i in range(count + 1)]
            first, *others = map(to_pil, frames)
            first.save(partial, format=path.suffix[1:], save_all=True, append_images=others, loop=0, quality=90,
                       duration=[end - start for start, end in itertools.pairwise(ends)])
    return path


def _write_mp4(path, frames, fps):
    import imageio_ffmpeg
    writer = None
    try:
        for frame in frames:
            if writer is None:
                writer = imageio_ffmpeg.write_frames(str(path), frame.shape[:0:-1], fps=fps, quality=8, macro_block_size=2,
                                                     output_params=["-f", "mp4"])
                writer.send(None)
            writer.send(frame.permute(1, 2, 0).numpy().tobytes())
    finally:
        if writer:
            writer.close()
