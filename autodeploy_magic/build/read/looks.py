"""What a file looks like that no reader takes."""

from __future__ import annotations

from autodeploy_magic.build.read.given import Given, size_text
from autodeploy_magic.errors import BadInput

__all__ = ["KINDS", "foreign", "looks_like"]

KINDS = (
    "ONNX, pickle, joblib, skops, safetensors, PyTorch (.pt), Keras (.keras, .h5, JSON and weights), "
    "SavedModel, XGBoost, LightGBM, CatBoost, MLflow"
)
"""What can be read, in the words of an error."""

_BEGINNINGS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PAR1", "a Parquet table"),
    (0, b"ARROW1", "an Arrow table"),
    (0, b"\x93NUMPY", "a numpy array (.npy)"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"GGUF", "a GGUF model of llama.cpp"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"\x7fELF", "a program or a shared library"),
    (257, b"ustar", "a tar archive"),
    (0, b"RDX", "an R workspace"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"\xd0\xcf\x11\xe0", "an old office document"),
)


def foreign(given: Given) -> BadInput:
    """The error for what no reader recognises: what it looks like, and what can be read."""
    if given.head.startswith(b"version https://git-lfs.github.com/spec/"):
        return BadInput(
            f"{given.name} is a Git LFS pointer, not the model",
            why=f"its {given.size_bytes} bytes say where the file is kept; git was cloned without LFS",
            fix=f"git lfs install && git lfs pull --include {given.name}",
        )
    if b"/annex/objects/" in given.head[:200]:
        return BadInput(f"{given.name} is a git-annex pointer, not the model", fix=f"git annex get {given.name}")
    what, fix = looks_like(given)
    return BadInput(
        f"{given.name} is no model that can be read here",
        why=f"it looks like {what}" + (f", whatever its name ends with ({given.suffix})" if given.suffix else ""),
        fix=fix or f"what is read: {KINDS}",
    )


def looks_like(given: Given) -> tuple[str, str]:
    """In words what the content is, and what to do with it; "" where there is nothing to say."""
    if given.is_folder:
        return _folder(given)
    head = given.head
    if given.is_zip:
        return _zip(given)
    for offset, magic, words in _BEGINNINGS:
        if head[offset : offset + len(magic)] == magic:
            return words, ""
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "an HDF5 file without a Keras model in it", "a Keras model is saved whole with model.save('model.keras')"
    if not head.strip(b"\x00"):
        return f"{size_text(given.size_bytes)} of zeros: a download that was not finished", "fetch it again"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:2000].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a page of the web (HTML), perhaps one that asks for a log-in", "download the file itself"
    if start.startswith(b"<?xml"):
        return ("a PMML model" if b"<pmml" in start else "an XML document"), ""
    text = _is_text(head)
    if text and start.startswith((b"{", b"[")):
        return "JSON of no model that is known here", ""
    if text and b"import " in start:
        return "Python source", "run it in the notebook, and deploy the object that it makes: --model VAR"
    if text:
        return "text", ""
    return f"{size_text(given.size_bytes)} of bytes of no kind that is known here, or a damaged file", ""


def _folder(given: Given) -> tuple[str, str]:
    names = set(given.names)
    if "config.json" in names and names & {"tokenizer.json", "model.safetensors", "pytorch_model.bin"}:
        fix = f"load it in the notebook: model = transformers.pipeline(TASK, {str(given.path)!r}), then --model model"
        return "a folder of Hugging Face Transformers", fix
    if "fingerprint.pb" in names or any(name.startswith("variables/") for name in names):
        return "a SavedModel without its saved_model.pb", "copy the whole folder again"
    if any(name.endswith(".distcp") for name in names):
        return "a distributed checkpoint of PyTorch", "make one file of it: torch.distributed.checkpoint.format_utils"
    if any(name.startswith("checkpoint") or ".ckpt" in name for name in names):
        return "a checkpoint of a training run", "load it into its model in the notebook, and deploy that"
    shown = ", ".join(sorted(names)[:5]) + (", …" if len(names) > 5 else "")
    return f"a folder of {len(names)} files ({shown})", f"give one file of it, or what is read: {KINDS}"


def _zip(given: Given) -> tuple[str, str]:
    names = given.names
    if not names:
        return "a zip archive that is cut off or damaged", "fetch or save it again, and compare its size"
    if all(name.endswith(".npy") for name in names):
        return "numpy arrays (.npz)", "weights alone answer nothing: load them into their model in the notebook"
    if "[Content_Types].xml" in names:
        return "an office document", ""
    if any(name.endswith(("saved_model.pb", "MLmodel")) for name in names):
        return "a zipped model folder", "unpack it, and give the folder"
    return f"a zip archive of {len(names)} files ({', '.join(names[:3])}…)", "unpack it, and give the model in it"


def _is_text(head: bytes) -> bool:
    try:
        text = head[:4096].decode("utf-8", "ignore")
    except UnicodeDecodeError:
        return False
    return bool(text) and sum(c.isprintable() or c in "\r\n\t" for c in text) / len(text) > 0.97
