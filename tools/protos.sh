#!/usr/bin/env bash
# Compiles serve/grpc/protos/*.proto into the one file of descriptors that a worker reads. Run it after a change of them.
set -euo pipefail
cd "$(dirname "$0")/../autodeploy_magic/serve/grpc/protos"
"${PYTHON:-../../../../.venv/bin/python}" -m grpc_tools.protoc -I. --descriptor_set_out="${1:-descriptors.binpb}" ./*.proto
