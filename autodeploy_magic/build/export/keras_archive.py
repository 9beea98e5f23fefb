"""A Keras model as a folder: model.keras without what training left in it, about.json, custom.pkl.

Keras' own file holds the optimizer (two thirds of it, for Adam) and the time. Neither decides an answer: they are taken
out, and the same model gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.base import first_words
from autodeploy_magic.build.export.keras_custom import configured, find_custom, layers_of
from autodeploy_magic.build.export.tensorflow_quiet import quietly
from autodeploy_magic.errors import ExportFailed
from autodeploy_magic.registry import need

__all__ = ["digest_of", "write_archive"]

_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def write_archive(model: Any, folder: Path) -> str:
    """Write `model` into the new folder `folder`, and return the digest of its content.

    Raises `ExportFailed` where Keras cannot say what it is made of.
    """
    import keras

    folder.mkdir()
    with tempfile.TemporaryDirectory(prefix="autodeploy-") as scratch:
        whole = Path(scratch) / "whole.keras"
        try:
            with quietly():
                keras.saving.save_model(model, whole)
        except Exception as error:  # a layer's own get_config may raise anything
            raise ExportFailed(
                f"{type(model).__name__} cannot be written as a .keras file",
                why=first_words(error),
                fix="give its layers a get_config that returns the arguments of their __init__",
            ) from error
        with zipfile.ZipFile(whole) as archive:
            config = json.loads(archive.read("config.json"))
            _without_training(config)
            custom = find_custom(model, config)
            pickled = custom.dump(folder / "custom.pkl").sha256 if custom.objects else ""
            backend = keras.backend.backend()
            digest = hashlib.sha256(json.dumps([configured(config), pickled, backend], sort_keys=True).encode())
            with zipfile.ZipFile(folder / "model.keras", "w", zipfile.ZIP_STORED) as kept:
                for name in sorted(archive.namelist()):
                    _copy(archive, kept, name, config, Path(scratch), digest)
    (folder / "about.json").write_text(json.dumps({"backend": backend, "keras": keras.version()}), "utf-8")
    return digest.hexdigest()


def digest_of(model: Any) -> str:
    """The digest of the archive of `model`; where Keras cannot write one, of its weights and its classes' names."""
    import keras
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="autodeploy-") as scratch:
        try:
            return write_archive(model, Path(scratch) / "keras")
        except ExportFailed:
            digest = hashlib.sha256(json.dumps([type(layer).__qualname__ for layer in layers_of(model)]).encode())
            for weight in model.weights:
                values = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
                digest.update(json.dumps([str(values.dtype), values.shape]).encode() + values.tobytes())
            return digest.hexdigest()


def _copy(archive: Any, kept: Any, name: str, config: Any, scratch: Path, digest: Any) -> None:
    """Take one file over, without what does not decide an answer; `digest` is told of what does."""
    place = zipfile.ZipInfo(name, _LONG_AGO)
    if name == "config.json":
        kept.writestr(place, json.dumps(config))
    elif name == "metadata.json":
        known = json.loads(archive.read(name))
        known["date_saved"] = ""
        kept.writestr(place, json.dumps(known))
    elif name.endswith(".h5"):
        given, slim = Path(archive.extract(name, scratch)), scratch / "slim.h5"
        _without_optimizer(given, slim, digest)
        with slim.open("rb") as stream, kept.open(place, "w", force_zip64=True) as target:
            while part := stream.read(2**20):
                target.write(part)
    else:
        data = archive.read(name)
        digest.update(name.encode() + data)
        kept.writestr(place, data)


def _without_optimizer(given: Path, slim: Path, digest: Any) -> None:
    import numpy as np

    h5py = need("h5py", "writing a Keras model")
    with h5py.File(given, "r") as old, h5py.File(slim, "w") as new:
        for key, value in old.attrs.items():
            new.attrs[key] = value
        for key in sorted(old):
            if key not in ("optimizer", "loss_tracker", "metrics"):
                old.copy(key, new)

        def tell(_: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                values = np.ascontiguousarray(item[()])
                digest.update(json.dumps([item.name, str(values.dtype), values.shape]).encode())
                digest.update(values.tobytes())

        new.visititems(tell)


def _without_training(config: Any) -> None:
    """Drop how models were compiled, the inner ones too: a loss of the person's own would have to travel."""
    if isinstance(config, dict):
        if isinstance(config.get("compile_config"), dict):
            config["compile_config"] = None
        for value in config.values():
            _without_training(value)
    elif isinstance(config, list):
        for value in config:
            _without_training(value)
