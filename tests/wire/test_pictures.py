"""Pictures and files in requests and answers: base64 ↔ PIL images and bytes, and what is refused."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autodeploy_magic.build.sample import read_sample
from autodeploy_magic.contracts import Column, Signature
from autodeploy_magic.errors import BadSample, BodyTooLarge, InvalidInputs
from autodeploy_magic.wire import decode, describe, from_arrays, pictures, restore, to_container, to_plain, to_request
from autodeploy_magic.wire.arrow import from_table

IMAGES = Signature(container="list", columns=(Column(name="inputs", dtype="image"),))
FILES = Signature(container="list", columns=(Column(name="inputs", dtype="bytes"),))
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "CMYK", "YCbCr")


def picture(mode: str = "RGB", size: tuple[int, int] = (7, 5)) -> Any:
    values = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    if mode in ("I;16", "I", "F"):
        return Image.fromarray((values[..., 0].astype(np.float32) * 200).astype(_DTYPES[mode]))
    return Image.fromarray(values).convert(mode)


_DTYPES = {"I;16": np.uint16, "I": np.int32, "F": np.float32}


def encoded(image: Any, format: str = "PNG", **more: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **more)
    return stream.getvalue()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def read(*rows: Any, signature: Signature = IMAGES) -> list[Any]:
    found: list[Any] = to_container(decode(signature, list(rows)))
    return found


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_comes_back_as_it_was(mode: str) -> None:
    given = picture(mode)
    assert given.mode == mode
    (found,) = read(*to_request([given]))
    assert (found.mode, found.size) == (mode, (7, 5))
    assert found.tobytes() == given.tobytes()


@pytest.mark.parametrize("format", pictures.FORMATS)
def test_every_format_is_read(format: str) -> None:
    (found,) = read(text(encoded(picture("L"), format)))
    assert (found.format, found.size) == (format, (7, 5))


def test_base64_may_be_a_data_uri_and_have_line_breaks() -> None:
    data = encoded(picture())
    broken = base64.encodebytes(data).decode()
    for sent in (text(data), f"data:image/png;base64,{text(data)}", broken):
        assert read(sent)[0].tobytes() == picture().tobytes()


def test_pictures_of_several_sizes_are_one_request() -> None:
    sizes = [(3, 4), (5, 6)]
    assert [found.size for found in read(*to_request([picture(size=size) for size in sizes]))] == sizes


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (3, "is a number, not a file"),
        ("%%%", "is not base64"),
        ("data:image/png,xx", "is a data: URI that is not in base64"),
        (text(b"GIF89a"), "is not a picture that is read here"),
        (text(b"%PDF-1.4 no picture"), "is not a picture that is read here"),
        ("", "is not a picture that is read here"),
        (None, "is null"),
        (text(encoded(picture(size=(64, 64)))[:2000]), "is a damaged PNG picture"),
        (text(encoded(picture(size=(64, 64)), "JPEG")[:900]), "is a damaged JPEG picture"),
        (text(encoded(picture(), "PPM")), "is not a picture that is read here"),
    ],
)
def test_what_is_no_picture_is_refused_with_its_field(sent: Any, said: str) -> None:
    with pytest.raises(InvalidInputs, match=said) as caught:
        read(text(encoded(picture())), sent)
    assert caught.value.field == "inputs[1]"


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    small, large = text(encoded(Image.new("1", (6000, 6000)))), text(encoded(Image.new("1", (14_000, 14_000))))
    with pytest.raises(InvalidInputs, match="too large"):
        read(large)
    with pytest.raises(InvalidInputs, match="million pixels in all") as caught:
        decode(IMAGES, [small] * 3)
    assert caught.value.field == "inputs[2]"


def test_bytes_are_files() -> None:
    assert read(text(b"\x00\xff"), "", signature=FILES) == [b"\x00\xff", b""]
    assert to_request([b"\x00\xff"]) == ["AP8="]
    with pytest.raises(InvalidInputs, match="is not base64"):
        read("é", signature=FILES)


def test_a_table_may_have_a_column_of_pictures() -> None:
    import pandas as pd

    frame = pd.DataFrame({"age": [1.0, 2.0], "face": [picture(), picture("L")]})
    sample = read_sample(frame)
    assert [column.dtype for column in sample.signature.columns] == ["float64", "image"]
    rows = to_request(frame)
    found = to_container(decode(sample.signature, rows))
    assert [face.mode for face in found["face"]] == ["RGB", "L"]
    rows[1]["face"] = text(encoded(picture(size=(64, 64)))[:2000])
    with pytest.raises(InvalidInputs) as caught:
        to_container(decode(sample.signature, rows))
    assert caught.value.field == "inputs[1].face"


@pytest.mark.parametrize(("raw", "signature"), [(b"\xff\x00", FILES), (encoded(picture()), IMAGES)])
def test_tensors_of_bytes_are_files_as_they_are(raw: bytes, signature: Signature) -> None:
    for value in (raw, text(raw)):
        tensor = np.empty(1, dtype=object)
        tensor[0] = value
        (found,) = to_container(from_arrays(signature, {"inputs": tensor}))
        assert (found if signature is FILES else encoded(found)) == (raw if signature is FILES else encoded(picture()))


@pytest.mark.parametrize("kind", ["binary", "large_binary", "binary_view", "string"])
def test_a_table_of_arrow_holds_files_as_bytes_or_in_base64(kind: str) -> None:
    import pyarrow as pa

    data = encoded(picture())
    column = pa.array([text(data) if kind == "string" else data], getattr(pa, kind)())
    (found,) = to_container(from_table(IMAGES, pa.table({"any": column}), max_bytes=10**6))
    assert found.tobytes() == picture().tobytes()
    with pytest.raises(BodyTooLarge):
        from_table(FILES, pa.table({"any": column}), max_bytes=10)


def test_a_sample_of_pictures_or_bytes_is_described() -> None:
    assert read_sample([picture(), picture("L")]).signature == IMAGES
    assert read_sample([b"a", b"b"]).signature == FILES
    assert read_sample([picture(), None]).signature.columns[0].nullable
    array = read_sample(np.zeros((2, 4, 5, 3), dtype=np.uint8)).signature.columns[0]
    assert (array.dtype, array.shape) == ("uint8", (4, 5, 3))
    with pytest.raises(BadSample):
        read_sample([picture(), "a text"])
    with pytest.raises(BadSample, match="cannot be sent as a request") as caught:
        read_sample([picture().convert("HSV")])
    assert "convert it to RGB" in caught.value.why


@pytest.mark.parametrize("answer", [[picture(), None], picture("L"), [b"\x00", b"\xff"], b"\xff"])
def test_answers_come_back_as_what_they_were(answer: Any) -> None:
    output = describe("predictions", answer, 2)
    assert output.dtype in ("image", "bytes")
    found = restore(output, to_plain(answer))
    for one, other in zip(
        found if isinstance(found, list) else [found], answer if isinstance(answer, list) else [answer], strict=True
    ):
        assert one == other if not pictures.is_picture(other) else one.tobytes() == other.tobytes()


def test_an_array_of_bytes_is_still_no_answer() -> None:
    with pytest.raises(TypeError, match="JSON cannot say"):
        to_plain(np.array([b"cat"]))
