"""Files from the net, only when asked for: to a cache folder, with progress, resumed after a break, compared by hash."""
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

CHUNK = 1 << 20


def cache():
    """Where downloads stay: the folder in COURSE_CACHE, or .cache/stylegan-course in the home folder."""
    return Path(os.environ.get("COURSE_CACHE") or Path.home() / ".cache" / "stylegan-course")


def fetch(url, path=None, sha256=None, terms=None, tries=5, timeout=30, wait=1.0, progress=True):
    """Download `url` to `path`, or under its own name to `cache()`, unless it is there already, and return the path.

    A break is continued where it stopped, now (`tries` times) or by a later call: the part stands beside it as `….partial`.
    The file takes its place only when it is whole and, where a hash is known, has that hash. Where none is, the hash of the
    first download is kept in `….sha256`, and later ones must have it too. A file that was put there by hand is compared
    with a known hash. terms: whose the file is and under which licence, said on standard error before it is fetched. Raises
    OSError without a net, ValueError for wrong bytes; both messages say what to do by hand.
    """
    path = Path(path or cache() / url.rsplit("/")[-1])
    partial, note = path.with_name(path.name + ".partial"), path.with_name(path.name + ".sha256")
    kept = note.read_text().split()[0] if note.exists() else None
    if path.exists():
        if sha256 and kept != sha256 and (found := _sha256(path)) != sha256:
            raise ValueError(f"{path} is not the file at {url} (sha256 {found[:12]}…, expected {sha256[:12]}…); delete it, "
                             "and the next call downloads the right one")
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    sha256 = sha256 or kept
    if terms:
        print(f"{path.name}: {terms}", file=sys.stderr)
    for attempt in range(tries):
        try:
            whole, problem = _receive(url, partial, bool(sha256), timeout, progress), "the connection broke off"
        except urllib.error.HTTPError as error:
            whole, problem = False, f"the server answered {error.code} {error.reason}"
            if error.code in (401, 403, 404, 410):
                break
        except (OSError, http.client.HTTPException) as error:
            whole, problem = False, str(getattr(error, "reason", error)) or type(error).__name__
        if whole:
            return _accept(url, partial, path, note, sha256)
        if attempt + 1 < tries:
            time.sleep(wait)
    kept = f" {partial.stat().st_size:,} bytes are kept, and the next call goes on from there." if partial.exists() else ""
    raise OSError(f"{url} could not be downloaded: {problem}.{kept} You can also fetch it by other means and put it at {path}")


def _receive(url, partial, checked, timeout, progress):
    """Append what is missing to the part; whether it is then as long as the server says the file is."""
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "stylegan-course", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        partial.unlink()                                # nothing follows the part: it is not what the server has
        return False
    with response:
        continues = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status == 206 and not continues:
            partial.unlink(missing_ok=True)             # another part than the one asked for
            return False
        have = have if continues else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        with open(partial, "ab" if continues else "wb") as file, tqdm(
                total=total, initial=have, unit="B", unit_scale=True, desc=partial.stem, disable=not progress) as bar:
            while block := response.read(CHUNK):
                file.write(block)
                bar.update(len(block))
    if total is None and not checked and response.headers.get("Transfer-Encoding") != "chunked":
        raise OSError("the server does not say how long the file is, and no hash is known")
    return total is None or partial.stat().st_size == total


def _accept(url, partial, path, note, sha256):
    """Give the whole file its name, if it has the right hash."""
    found = _sha256(partial)
    if sha256 and found != sha256:
        partial.unlink()
        raise ValueError(f"what came from {url} is not the expected file (sha256 {found[:12]}…, expected {sha256[:12]}…), and "
                         f"was removed. Try again later, or fetch it by other means and put it at {path}")
    note.write_text(f"{found}  {path.name}\n")
    os.replace(partial, path)
    return path


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
