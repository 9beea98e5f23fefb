"""Keras models: .keras archives, HDF5 files, and JSON with its weights beside it, as old tutorials save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autodeploy_magic.build.read.given import Given
from autodeploy_magic.errors import BadInput
from autodeploy_magic.registry import need

__all__ = ["KerasReader", "reader"]

_HDF5 = b"\x89HDF\r\n\x1a\n"


class KerasReader:
    """Loaded in Keras' safe mode: a Lambda layer's code is refused by Keras itself."""

    title = "a Keras model"

    def recognises(self, given: Given) -> bool:
        if given.is_folder:
            return False
        if given.is_zip:
            return {"config.json", "metadata.json"} <= set(given.names)
        return given.head.startswith(_HDF5) or _is_json(given)

    def read(self, given: Given) -> Any:
        from autodeploy_magic.build.export.keras_files import load_json_and_weights, load_keras

        if _is_json(given):
            weights = given.second or _weights_beside(given)
            return load_json_and_weights(given.path, weights)
        if given.head.startswith(_HDF5) and not _holds_model(given):
            return _filled(given)
        return load_keras(given.path)


def _is_json(given: Given) -> bool:
    head = given.head.lstrip()[:4000]
    return head.startswith(b"{") and b'"class_name"' in head and b'"config"' in head


def _weights_beside(given: Given) -> Path:
    """The weights next to a JSON: the file of its name, or the only HDF5 file there. Raises `BadInput`."""
    folder, stem = given.path.parent, given.path.stem
    for name in (f"{stem}.weights.h5", f"{stem}.h5", f"{stem}.hdf5", f"{stem}_weights.h5", f"{stem}_weights.hdf5"):
        if (folder / name).is_file():
            return folder / name
    others = sorted(file for file in folder.iterdir() if file.suffix in (".h5", ".hdf5") and file.is_file())
    if len(others) == 1:
        return others[0]
    seen = f"there are {', '.join(file.name for file in others[:5])}" if others else "there is no .h5 file beside it"
    raise BadInput(
        f"{given.name} is a Keras model without its weights",
        why=f"the JSON has the layers alone; {seen}",
        fix=f"name both, with a comma: --file {given.name},weights.h5",
    )


def _holds_model(given: Given) -> bool:
    h5py = need("h5py", f"reading {given.name}")
    with h5py.File(given.path, "r") as file:
        return "model_config" in file.attrs


def _filled(given: Given) -> Any:
    """A copy of the model that the person named, with the weights of an HDF5 file that has no model of its own."""
    keras = need("keras", f"reading {given.name}")
    if given.into is None:
        raise BadInput(
            f"{given.name} is an HDF5 file without a Keras model: at most weights",
            why="it has no model_config",
            fix="name the model that they go into: --model net; or save it whole: model.save('model.keras')",
        )
    if not isinstance(given.into, keras.Model):
        raise BadInput(
            f"the weights of {given.name} go into a Keras model, and --model is a {type(given.into).__name__}",
            fix="name the model with --model",
        )
    model = keras.models.clone_model(given.into)
    try:
        model.load_weights(str(given.path))
    except (ValueError, KeyError, OSError) as error:
        raise BadInput(
            f"the weights of {given.name} do not fit the model that --model names",
            why=" ".join(str(error).split())[:400],
            fix="make it with the layers that it was trained with",
        ) from error
    return model


reader = KerasReader()
