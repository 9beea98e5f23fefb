"""LitServe as its documentation starts: one LitAPI, one worker, one API server, no batching."""

from __future__ import annotations

import litserve  # type: ignore[import-not-found,unused-ignore]

from serving.peers import PORT
from serving.peers.session import predictor


class Api(litserve.LitAPI):  # type: ignore[misc,unused-ignore]
    def setup(self, device: str) -> None:
        del device
        self.model = predictor()

    # Unannotated, as documented: LitServe gives the annotations of these to FastAPI.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return request["inputs"]

    def predict(self, x):  # type: ignore[no-untyped-def]
        return self.model(x)

    def encode_response(self, output):  # type: ignore[no-untyped-def]
        return {"predictions": output}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", devices=1, workers_per_device=1)
    server.run(host="127.0.0.1", port=PORT, num_api_servers=1, generate_client_file=False, log_level="warning")
