"""SavedModel folders: a TensorFlow graph and its variables."""

from __future__ import annotations

from typing import Any

from autodeploy_magic.build.read.given import Given

__all__ = ["SavedModelReader", "reader"]


class SavedModelReader:
    """The folder that holds saved_model.pb; that file itself will do."""

    title = "a SavedModel"

    def recognises(self, given: Given) -> bool:
        return "saved_model.pb" in given.names or given.path.name == "saved_model.pb"

    def read(self, given: Given) -> Any:
        from autodeploy_magic.build.export.tensorflow_files import load_saved_model

        return load_saved_model(given.path if given.is_folder else given.path.parent)


reader = SavedModelReader()
