"""The Open Inference Protocol over gRPC: a second port of a worker, in its process and on its event loop.

    server.py       the port: connections, what all of them may use together, the drain
    connection.py   one HTTP/2 connection: its calls, leaving; http2.py h2 with limits
    calls.py        one call: its messages in, its answer out
    framing.py      gRPC's bytes within a stream
    status.py       how a refusal is told
    service.py      inference.GRPCInferenceService; tensors.py its tensors
    health.py       grpc.health.v1; reflection.py grpc.reflection.v1
    messages.py     the messages of protos/, which tools/protos.sh compiles

Workers share one listening socket, which grpcio can neither inherit nor hand over: with a socket for each worker
(SO_REUSEPORT) connections that wait at one that ends are lost, and its threads do not survive a fork. grpclib limits
neither a message's size nor a client's time, and ends calls with the server. So this is gRPC on h2 itself.
"""
