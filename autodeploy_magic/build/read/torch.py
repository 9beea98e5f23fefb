"""PyTorch files: state dicts (data), TorchScript archives, and pickled modules (code)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

from autodeploy_magic.build.read.given import Given
from autodeploy_magic.build.read.guarded import check_allowed, guarded
from autodeploy_magic.build.read.named import Named, is_pickle, named_in
from autodeploy_magic.build.read.safetensors import bare_weights
from autodeploy_magic.errors import BadInput
from autodeploy_magic.registry import need

__all__ = ["TorchReader", "filled", "reader"]

_OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file of torch.save before 1.6 begins: a pickled number."""
_INSIDE = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Where training loops and Lightning put the weights in a checkpoint."""
_DATA = ("torch._utils._rebuild", "torch._tensor._rebuild", "collections.OrderedDict", "torch._rebuild")


class TorchReader:
    """Read as data where it is data; with the person's leave as a pickle."""

    title = "a PyTorch file"

    def recognises(self, given: Given) -> bool:
        if given.is_folder:
            return False
        if given.head.startswith(_OLD) or _is_program(given):
            return True
        return any(name.endswith("/data.pkl") for name in given.names)

    def read(self, given: Given) -> Any:
        torch = need("torch", f"reading {given.name}")
        if any("/code/" in name or name.endswith("/constants.pkl") for name in given.names):
            with guarded(given):
                return torch.jit.load(str(given.path), map_location="cpu").eval()
        if _is_program(given):
            what = "a program of torch.export, whose weights PyTorch unpickles"
            check_allowed(given, what, _named_within(given), "torch.jit.trace(model, example).save(path)")
            with guarded(given):
                return torch.export.load(str(given.path)).module()
        try:
            found = torch.load(given.path, map_location="cpu", weights_only=True)
        except Exception as error:
            named = _named(given)
            if named.whole and all(name.startswith(_DATA) or _is_storage(name) for name in named.names):
                raise  # data, and damaged
            check_allowed(
                given,
                "a pickled PyTorch object",
                named,
                "torch.save(model.state_dict(), path) where the model is, and --file path --model net here",
            )
            del error
            with guarded(given):
                found = torch.load(given.path, map_location="cpu", weights_only=False)
        if isinstance(found, torch.nn.Module):
            return found.eval()
        if isinstance(found, Mapping):
            return filled(given, _weights(found, torch))
        if callable(found) or hasattr(found, "predict"):
            return found
        raise BadInput(
            f"{given.name} holds a {type(found).__name__}, which is no model",
            fix="save the module's state_dict(), or the module itself",
        )


def filled(given: Given, weights: Mapping[str, Any]) -> Any:
    """A copy of the module that the person named, with these weights. Raises `BadInput` where they do not fit."""
    if given.into is None:
        raise bare_weights(given, list(map(str, weights)))
    torch = need("torch", f"reading {given.name}")
    if not isinstance(given.into, torch.nn.Module):
        kind = type(given.into).__name__
        fix = f"make one of it: --model with the value of {kind}()" if isinstance(given.into, type) else ""
        raise BadInput(
            f"the weights of {given.name} go into a torch.nn.Module, and --model is a {kind}",
            fix=fix or "name the module with --model",
        )
    import copy

    module = copy.deepcopy(given.into)
    try:
        module.load_state_dict(dict(weights), strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
        raise BadInput(
            f"the weights of {given.name} do not fit the {type(module).__name__} that --model names",
            why="; ".join(lines)[:500],
            fix="make the module with the sizes that it was trained with",
        ) from error
    return module.eval()


def _weights(found: Mapping[str, Any], torch: Any) -> Mapping[str, Any]:
    for name in _INSIDE:
        inner = found.get(name)
        if isinstance(inner, Mapping) and any(isinstance(value, torch.Tensor) for value in inner.values()):
            return inner
    return found


def _named(given: Given) -> Named:
    if not given.is_zip:
        return named_in(given.data()[len(_OLD) :])  # the version and the system stand first; the object follows
    with zipfile.ZipFile(given.path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        return named_in(archive.read(name))


def _is_program(given: Given) -> bool:
    return given.is_zip and any("exported_program" in name or name.endswith("/archive_format") for name in given.names)


def _named_within(given: Given) -> Named:
    """What the pickles in an archive name, and in the archives in it."""
    names: list[str] = []
    whole = True
    with zipfile.ZipFile(given.path) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            if data.startswith(b"PK\x03\x04"):
                with zipfile.ZipFile(io.BytesIO(data)) as inner:
                    data = next((inner.read(part) for part in inner.namelist() if part.endswith("data.pkl")), b"")
            if is_pickle(data[:256]):
                found = named_in(data)
                names += found.names
                whole = whole and found.whole
    return Named(tuple(dict.fromkeys(names)), whole)


def _is_storage(name: str) -> bool:
    return name.startswith("torch.") and name.endswith(("Storage", "Size", "device", "dtype"))


reader = TorchReader()
