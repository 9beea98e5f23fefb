"""The images that were built of a deployment's versions, as its folder remembers them."""

from __future__ import annotations

from collections.abc import Container

import msgspec

from autodeploy_magic.errors import UnreadableRecord
from autodeploy_magic.shipping import Image
from autodeploy_magic.store import Store

__all__ = ["image_of", "images", "keep_image"]

_KEPT = 50


def images(store: Store, name: str) -> list[Image]:
    """What was built, the newest last. Raises `UnreadableRecord`."""
    file = store.images_file(name)
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Image])
    except FileNotFoundError:
        return []
    except msgspec.MsgspecError as error:
        raise UnreadableRecord(
            f"{file} cannot be read", why=str(error), fix=f"rm {file}; the images themselves are the engine's"
        ) from error


def image_of(store: Store, name: str, version: int, engines: Container[str] | None = None) -> Image | None:
    """The image of a version that was built last, by one of `engines` or in any way; None where there is none."""
    found = (image for image in reversed(images(store, name)) if image.version == version)
    return next((image for image in found if engines is None or image.engine in engines), None)


def keep_image(store: Store, image: Image) -> None:
    """Remember an image in place of an earlier one of that name. Raises `StoreFailed`."""
    same = (image.name, image.engine, image.archive)
    kept = [one for one in images(store, image.deployment) if (one.name, one.engine, one.archive) != same]
    store.write_json(store.images_file(image.deployment), msgspec.to_builtins([*kept, image][-_KEPT:]))
