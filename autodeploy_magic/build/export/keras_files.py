"""Files that Keras wrote, of this release and of those before, as models. How they were trained is left behind."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.base import first_words
from autodeploy_magic.build.export.tensorflow_quiet import quietly
from autodeploy_magic.errors import BadInput
from autodeploy_magic.registry import need

__all__ = ["load_json_and_weights", "load_keras"]

_HDF5 = b"\x89HDF\r\n\x1a\n"


def load_keras(path: Path, custom_objects: dict[str, Any] | None = None) -> Any:
    """The model in a .keras file, or in a whole-model HDF5 file (.h5, .hdf5) as model.save wrote them before Keras 3.

    It is read in safe mode: a Lambda layer, whose code is in the file, is refused. `custom_objects` are classes and
    functions of the person's own, by name. Raises `BadInput` saying what the file is instead, or what it lacks.
    """
    keras = need("keras", "reading a Keras model")
    if not path.is_file():
        raise BadInput(f"there is no file {path}", why=f"seen from {Path.cwd()}", fix="give the path of a Keras file")
    if not zipfile.is_zipfile(path) and not _is_hdf5(path):
        raise BadInput(
            f"{path} is not a Keras model",
            why="it is neither a .keras archive nor an HDF5 file",
            fix="give what model.save wrote; it may have been cut off on its way here",
        )
    if _is_hdf5(path) and not _has(path, "model_config"):
        raise BadInput(
            f"{path} holds weights alone",
            why="model.save_weights wrote it, and what the network looks like is not in it",
            fix="give the JSON file of model.to_json() too, or build the model in the notebook and load them there",
        )

    def load(place: str) -> Any:
        return keras.saving.load_model(place, custom_objects=custom_objects, compile=False, safe_mode=True)

    if not _is_hdf5(path):
        return _read(path, ".keras", load)
    with tempfile.TemporaryDirectory(prefix="autodeploy-") as folder:
        return _read(_with_input_layer(path, Path(folder)), ".h5", load, named=path)


def load_json_and_weights(json_path: Path, weights_path: Path, custom_objects: dict[str, Any] | None = None) -> Any:
    """The model whose `to_json` is in one file and whose weights are in another, as old tutorials save them.

    Weights may be of Keras 3 (.weights.h5) or of releases before (any HDF5). Raises `BadInput`.
    """
    keras = need("keras", "reading a Keras model")
    try:
        text = json_path.read_text("utf-8")
        known = json.loads(text)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{json_path} cannot be read as JSON",
            why=first_words(error),
            fix="give the file that model.to_json() filled",
        ) from error
    if not isinstance(known, dict) or "class_name" not in known:
        raise BadInput(
            f"{json_path} does not describe a Keras model",
            why="it names no class",
            fix="give the file that model.to_json() filled",
        )
    if not weights_path.is_file() or not _is_hdf5(weights_path):
        raise BadInput(f"{weights_path} is no file of weights", fix="give what model.save_weights(path) wrote, as HDF5")
    old_weights = _has(weights_path, "layer_names")  # as every release before Keras 3 wrote them
    if "registered_name" not in known and old_weights:
        with tempfile.TemporaryDirectory(prefix="autodeploy-") as folder:
            return load_keras(_whole(text, weights_path, Path(folder) / "whole.h5"), custom_objects)
    known.pop("compile_config", None)
    text = json.dumps(known)
    model = _read(json_path, ".json", lambda _: keras.models.model_from_json(text, custom_objects=custom_objects))
    if not model.built:
        raise BadInput(
            f"{json_path} does not say the shape of the input",
            why="its network had not been built when model.to_json() was called",
            fix="build the network in the notebook, load the weights into it, and deploy the object",
        )
    _read(weights_path, ".h5" if old_weights else ".weights.h5", model.load_weights)
    return model


def _whole(text: str, weights: Path, path: Path) -> Path:
    """The file that model.save would have written, before Keras 3, of a network and its weights."""
    h5py = need("h5py", "reading a Keras model")
    with h5py.File(weights, "r") as given, h5py.File(path, "w") as whole:
        whole.attrs["model_config"] = text
        group = whole.create_group("model_weights")
        for key, value in given.attrs.items():
            group.attrs[key] = value
        for key in given:
            given.copy(key, group)
    return path


def _with_input_layer(path: Path, folder: Path) -> Path:
    """The file, or a copy of it in which a Sequential begins with an InputLayer.

    In the oldest files its first layer says the shape of the input, which Keras 3 takes for that of one row.
    """
    h5py = need("h5py", "reading a Keras model")
    with h5py.File(path, "r") as file:
        text = file.attrs["model_config"]
    known = json.loads(text)
    inner = known.get("config")
    layers: Any = inner.get("layers") if isinstance(inner, dict) else inner  # the very oldest had the list alone
    first = layers[0] if known.get("class_name") == "Sequential" and layers else {}
    shape = first.get("config", {}).get("batch_input_shape")
    if first.get("class_name") == "InputLayer" or shape is None:
        return path
    given = {"batch_input_shape": shape, "dtype": first["config"].get("dtype", "float32"), "name": "given"}
    del first["config"]["batch_input_shape"]
    layers.insert(0, {"class_name": "InputLayer", "config": given})
    if isinstance(inner, list):
        known["config"] = {"name": "sequential", "layers": layers}
    copy = folder / "copy.h5"
    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = json.dumps(known)
    return copy


def _read(path: Path, suffix: str, load: Callable[[str], Any], named: Path | None = None) -> Any:
    """What `load` makes of the file, which it is given under a name that ends in `suffix`.

    Refusals call it `named`.
    """
    with tempfile.TemporaryDirectory(prefix="autodeploy-") as folder:
        place = Path(folder) / f"file{suffix}"
        place.symlink_to(path.resolve())
        try:
            with quietly():
                return load(str(place))
        except Exception as error:  # what Keras says of other releases' files, and of damaged ones, has many types
            raise _refusal(named or path, error) from error


def _refusal(path: Path, error: Exception) -> BadInput:
    if "ambda" in str(error) and "safe" in str(error):
        return BadInput(
            f"{path} has a Lambda layer",
            why="its code is in the file, and would run before anybody has read it",
            fix="if it is yours, load it in the notebook with safe_mode=False and deploy the object",
        )
    absent = re.search(r"Could not locate (\w+) '([^']+)'", str(error))
    if absent:
        kind, name = absent.groups()
        return BadInput(
            f"{path} needs the {kind} {name}",
            why="it is none of Keras', and such a file holds no code",
            fix=f"define it in the notebook, load the file there with custom_objects={{{name!r}: {name}}}, and deploy "
            "the object",
        )
    return BadInput(
        f"{path} cannot be read as a Keras model",
        why=first_words(error, 300),
        fix="load it in the notebook, with its own classes and the release that saved it, and deploy the object",
    )


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(_HDF5)) == _HDF5


def _has(path: Path, attribute: str) -> bool:
    """Whether an HDF5 file has an attribute, by which Keras' own are told apart."""
    h5py = need("h5py", "reading a Keras model")
    with h5py.File(path, "r") as file:
        return attribute in file.attrs
