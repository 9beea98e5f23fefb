"""SavedModel folders as the objects that TensorFlow makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autodeploy_magic.build.export.base import first_words
from autodeploy_magic.build.export.tensorflow_quiet import quietly
from autodeploy_magic.errors import BadInput
from autodeploy_magic.registry import need

__all__ = ["load_saved_model"]


def load_saved_model(path: Path) -> Any:
    """The object in a SavedModel folder, which `tf.saved_model.save`, Keras' export or an older release made.

    Its graph may read and write files once it is run: what it is made a version of is amber. Raises `BadInput`.
    """
    tensorflow = need("tensorflow", "reading a SavedModel")
    if not (path / "saved_model.pb").is_file() and not (path / "saved_model.pbtxt").is_file():
        raise BadInput(
            f"{path} is not a SavedModel",
            why="it holds no saved_model.pb",
            fix="give the folder that saved_model.pb lies in; a folder of weights alone needs the model's code",
        )
    try:
        with quietly():
            found = tensorflow.saved_model.load(str(path))
    except Exception as error:  # TensorFlow's own errors, of damaged files or of other releases
        raise BadInput(
            f"{path} cannot be read as a SavedModel",
            why=first_words(error),
            fix="load it with tf.saved_model.load in the notebook to see more; it may need the release that saved it",
        ) from error
    if not getattr(found, "signatures", None) and not callable(found):
        raise BadInput(
            f"{path} holds no function that could answer",
            why="it was saved without signatures, and with weights alone",
            fix="save it again with signatures=model.__call__.get_concrete_function(spec)",
        )
    return found
