"""A static page that runs the model in a browser, and ONNX Runtime Web for it, which is Microsoft's and not ours.

The page's own files are copied as they are: it reads signature.json, and no value of a version stands in its markup.
The runtime comes from npm, or from a file or folder that the person has; either way its bytes are the ones known here.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from autodeploy_magic.contracts import Progress, Report
from autodeploy_magic.errors import InvalidOption, ShipFailed

__all__ = ["PACKAGE", "check_runtime", "write_page"]

PACKAGE = "onnxruntime-web@1.30.0"
"""The release of the runtime: the newest on npm when this was written. It reads what onnxruntime 1.31 writes."""

_FILES = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""What the page needs of it → its SHA-256."""

_PAGE = Path(__file__).parent / "web"
_PAGE_FILES = ("index.html", "page.css", "page.js", "model.js")
_FETCH_S = 300

_README = f"""\
# The model in a browser

Any web server that sends these files will do; for a look, `python -m http.server 8000` in this folder, and
http://127.0.0.1:8000/ in a browser. The model runs in the page: no row leaves it. The page loads nothing from
elsewhere, and its content security policy forbids it to. A server must send `.wasm` as `application/wasm` and `.mjs` as
`text/javascript`. One thread runs the model, or several where the server sends
`Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy: require-corp`.

"Check" answers the sample's rows in the browser and shows how many agree with the trained model.

`ort/` is ONNX Runtime Web. Where it is not there yet, with npm and tar:

```sh
npm pack {PACKAGE} && mkdir -p ort &&
tar xzf onnxruntime-web-*.tgz -C ort --strip-components=2 {" ".join(f"package/dist/{name}" for name in _FILES)}
```

Their SHA-256: {", ".join(f"`{name}` {digest}" for name, digest in _FILES.items())}.
"""


def check_runtime(given: str) -> None:
    """Raise `InvalidOption` where `given`, a folder or an archive of the runtime, is not there, or is another one."""
    if given:
        _from_given(Path(given).expanduser(), None)


def write_page(folder: Path, given: str, report: Report) -> str:
    """Write the page and the runtime into `folder`; returns why the runtime is not there, "" where it is.

    `given` is a folder or an archive of the runtime's package, "" to ask npm for it.
    """
    folder.mkdir(exist_ok=True)
    for name in _PAGE_FILES:
        shutil.copyfile(_PAGE / name, folder / name)
    (folder / "README.md").write_text(_README, "utf-8")
    runtime = folder / "ort"
    if given:
        runtime.mkdir()
        _from_given(Path(given).expanduser(), runtime)
        return ""
    npm = shutil.which("npm")
    if npm is None:
        return f"npm is not installed, which brings ONNX Runtime Web: web/README.md has the command, for {PACKAGE}"
    report(Progress(step="ship", state="started", detail=f"npm pack {PACKAGE}"))
    runtime.mkdir()
    with tempfile.TemporaryDirectory(prefix="autodeploy-npm-") as scratch:
        try:
            _from_given(_packed(npm, Path(scratch)), runtime)
        except InvalidOption as error:
            raise _no_runtime("what it brought is another release, or was changed on the way") from error
    return ""


def _packed(npm: str, scratch: Path) -> Path:
    """The archive of the runtime's package, from npm: its cache, or its registry."""
    words = [npm, "pack", PACKAGE, "--prefer-offline", "--silent", "--ignore-scripts", "--pack-destination", "."]
    try:
        done = subprocess.run(words, cwd=scratch, capture_output=True, text=True, timeout=_FETCH_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise _no_runtime(f"npm took more than {_FETCH_S} s") from error
    found = next(iter(scratch.glob("*.tgz")), None)
    if done.returncode != 0 or found is None:
        raise _no_runtime((done.stderr or done.stdout).strip()[-400:] or f"npm ended with {done.returncode}")
    return found


def _from_given(path: Path, to: Path | None) -> None:
    """Copy the runtime's files from a folder or an archive into `to`, or only look whether they are the known ones."""
    if path.is_file():
        _from_archive(path, to)
        return
    if not path.is_dir():
        raise InvalidOption(f"ort_web is {path}, and nothing is there", fix=f"`npm pack {PACKAGE}` brings the archive")
    for name in _FILES:
        places = (path / name, path / "dist" / name, path / "package" / "dist" / name)
        file = next((place for place in places if place.is_file()), None)
        _take(name, file.read_bytes() if file is not None else None, path, to)


def _from_archive(path: Path, to: Path | None) -> None:
    try:
        found: dict[str, bytes] = {}
        with tarfile.open(path) as archive:
            for item in archive:
                name = item.name.removeprefix("package/dist/")
                stream = archive.extractfile(item) if name in _FILES and item.name != name else None
                if stream is not None:
                    found[name] = stream.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InvalidOption(
            f"{path} cannot be read as an archive of npm", why=str(error), fix=f"`npm pack {PACKAGE}` brings one"
        ) from error
    for name in _FILES:
        _take(name, found.get(name), path, to)


def _take(name: str, data: bytes | None, source: Path, to: Path | None) -> None:
    """Write a file of the runtime into `to`, or only look whether it is the known one."""
    if data is None or hashlib.sha256(data).hexdigest() != _FILES[name]:
        raise InvalidOption(
            f"{source} has no {name} of {PACKAGE}",
            why="it is not there" if data is None else "its SHA-256 is another one",
            fix=f"`npm pack {PACKAGE}` brings the archive that is known here",
        )
    if to is not None:
        (to / name).write_bytes(data)


def _no_runtime(why: str) -> ShipFailed:
    return ShipFailed(
        f"npm did not bring {PACKAGE}",
        why=why,
        fix="--set ort_web=PATH takes an archive or a folder of it; or leave web=yes out",
    )
