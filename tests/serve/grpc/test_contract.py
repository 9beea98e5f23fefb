"""Our messages beside the published ones: names and numbers are the contract."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from tritonclient.grpc import model_config_pb2, service_pb2

from autodeploy_magic.serve.grpc import messages

PROTOS = Path(messages.__file__).parent / "protos"


def published() -> dict[str, Any]:
    """The messages and enums of Triton's files, which are those of the protocol and its extensions."""
    found: dict[str, Any] = {}
    for module in (service_pb2, model_config_pb2):
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        found |= by_name(file)
    return found


def by_name(file: Any) -> dict[str, Any]:
    found = {each.name: each for each in (*file.enum_type, *file.message_type, *file.service)}
    for message in file.message_type:
        found |= {f"{message.name}.{each.name}": each for each in message.nested_type}
        for nested in message.nested_type:
            found |= {f"{message.name}.{nested.name}.{each.name}": each for each in nested.nested_type}
    return found


OURS = by_name(next(file for file in messages.FILES if file.name == "open_inference.proto"))


@pytest.mark.parametrize("name", OURS)
def test_what_is_here_is_as_it_was_published(name: str) -> None:
    ours, theirs = OURS[name], published()[name]
    if hasattr(ours, "method"):
        shapes = {m.name: (m.input_type, m.output_type, m.client_streaming, m.server_streaming) for m in theirs.method}
        for m in ours.method:
            assert (m.input_type, m.output_type, m.client_streaming, m.server_streaming) == shapes[m.name]
    elif hasattr(ours, "value"):
        assert {(v.name, v.number) for v in ours.value} <= {(v.name, v.number) for v in theirs.value}
    else:
        fields = {field.name: field for field in theirs.field}
        for field in ours.field:
            same = fields[field.name]
            assert (field.number, field.type, field.label, field.type_name) == (
                same.number,
                same.type,
                same.label,
                same.type_name,
            )
            assert field.HasField("oneof_index") == same.HasField("oneof_index")


def test_the_fields_of_inference_are_all_here() -> None:
    theirs = published()
    for name in OURS:
        if name.startswith(("ModelInfer", "InferTensorContents", "InferParameter", "ModelStreamInfer")):
            assert {field.name for field in OURS[name].field} == {field.name for field in theirs[name].field}


def test_a_process_may_also_hold_the_published_messages() -> None:
    theirs = descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")
    ours = messages.message("inference.ModelInferRequest")
    assert theirs is service_pb2.ModelInferRequest.DESCRIPTOR
    assert ours is not service_pb2.ModelInferRequest
    sent = service_pb2.ModelInferRequest(model_name="iris", raw_input_contents=[b"1"])
    assert ours.FromString(sent.SerializeToString()).raw_input_contents == [b"1"]


def test_the_descriptors_are_those_of_the_files(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools")
    out = tmp_path / "descriptors.binpb"
    files = sorted(path.name for path in PROTOS.glob("*.proto"))
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--descriptor_set_out={out}", *files],
        cwd=PROTOS,
        check=True,
    )
    made = FileDescriptorSet.FromString(out.read_bytes())
    assert {file.name: file for file in made.file} == {file.name: file for file in messages.FILES}, (
        "run tools/protos.sh"
    )
