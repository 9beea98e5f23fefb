"""The worker without a supervisor: what an image runs, and what serverless platforms call.

    __main__.py    the commands: serve, check, health, lambda, handed
    environment.py every variable that is read, in one table (ports.py: those that `health` needs)
    begin.py       what each command begins with
    serving.py     serve: one worker in this process (order.py: what it is told), or several (crew.py)
    folder.py      the state folder; sockets.py, the listening sockets; logs.py, lines of JSON
    check.py       rows answered by the real server, which ends afterwards (inside.py: beside the worker)
    health.py      whether the server is ready
    aws_lambda.py  Lambda's events (aws_events.py) from its API (runtime_api.py)
    resources.py   what the container's processes take, written down every second
    handed.py      a container whose supervisor is outside

What is read of the environment (`environment.VARIABLES`), each with its default in brackets. A value that cannot be
meant ends it with exit code 2, before any work; so does a missing token.

    PORT [3000]: port to listen on; Cloud Run and Knative set it
    AUTODEPLOY_HOST: address to listen on, an IP literal; empty: all, of IPv4 and of IPv6
    AUTODEPLOY_GRPC_PORT: port for gRPC besides; empty: none
    AUTODEPLOY_MODEL [/app/model]: folder of the version that is served
    AUTODEPLOY_STATE [/tmp/autodeploy]: folder for metrics and recorded requests: a volume of its own keeps them
    AUTODEPLOY_TOKEN: bearer token that clients send; gone from the environment once it is read
    AUTODEPLOY_TOKEN_FILE: file that holds the token, such as a mounted secret; read again when it changes
    AUTODEPLOY_AUTH [on]: off asks for no token: for places where somebody else guards the door
    AUTODEPLOY_TLS_CERTIFICATE: PEM file of the certificate to serve HTTPS with; read when it changes
    AUTODEPLOY_TLS_KEY: PEM file of its key; empty: it stands in the certificate's file
    AUTODEPLOY_WORKERS [1]: processes that answer; each loads the model
    AUTODEPLOY_LINGER_S [0]: seconds that new connections are still taken after SIGTERM, before the drain
    AUTODEPLOY_LOG_LEVEL [info]: least level that is logged: debug, info, warning or error
    AIP_HTTP_PORT: port to listen on where PORT is not set; Vertex AI sets it
    AIP_PREDICT_ROUTE: path that answers as /v1/models/NAME:predict does; Vertex AI sets it
    AIP_HEALTH_ROUTE: path that answers as /readyz does; Vertex AI sets it
    SAGEMAKER_BIND_TO_PORT: port of `serve` where PORT is not set (8080 else); SageMaker may set it
    AUTODEPLOY_HAND: unix socket that a supervisor outside hands the sockets through
    AUTODEPLOY_MAX_BODY_BYTES [16777216]: largest request body a deployment accepts
    AUTODEPLOY_MAX_ROWS [10000]: most rows that one request may carry
    AUTODEPLOY_MAX_QUEUE [256]: requests that may wait for a worker's model; more get 429
    AUTODEPLOY_BATCH_ROWS [256]: most rows of several requests that are answered together; 0: none
    AUTODEPLOY_THREADS [0]: threads of one run of the model; 0: the worker's share of the machine
    AUTODEPLOY_SPINNING [false]: whether a run's threads spin while they wait: quicker, for more CPU time
    AUTODEPLOY_REQUEST_TIMEOUT_S [30]: how long a request may take, or a stream's next item
    AUTODEPLOY_METRICS [true]: whether workers write down how many requests they answered, and how fast
    AUTODEPLOY_RECORD_REQUESTS [20]: most requests of a second that are kept, with their answers; 0: none
    AUTODEPLOY_RECORD [all]: what is kept of those requests: all, inputs (no answers), or off
    AUTODEPLOY_RECORD_SHARE [1]: share of those requests that is kept: 0.1 or 10%
    AUTODEPLOY_RECORD_DROP: columns whose values are not kept, separated by commas
    AUTODEPLOY_RECORD_HASH: columns of which keyed hashes are kept in place of the values
    AUTODEPLOY_RECORD_DAYS [30]: how long kept requests and the labels of them stay
    AUTODEPLOY_RECORD_BYTES [67108864]: most that a deployment's kept requests take on disk
    AUTODEPLOY_OTLP_ENDPOINT: OpenTelemetry collector that traces are sent to (OTLP/HTTP); empty: none
    AUTODEPLOY_TRACE_SHARE [1]: share of requests that are traced, of those whose caller has not decided
    AUTODEPLOY_HOSTS [* with a token]: names besides IP addresses and localhost that requests may come to; * for any
    AUTODEPLOY_ORIGINS: origins whose pages may read answers (CORS), separated by commas
    AUTODEPLOY_PROBABILITY_TOLERANCE [0.001]: largest difference of a probability that passes verification
    AUTODEPLOY_VALUE_TOLERANCE [0.0001]: largest difference of a value, relative to the answers' spread
    AUTODEPLOY_VERIFY_KEY: public key (PEM) that a version must be signed for, to start; empty: none
    AUTODEPLOY_DRAIN_S [5]: how long a replaced worker keeps answering connections it holds
"""

from __future__ import annotations
