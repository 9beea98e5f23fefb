"""`python -m autodeploy_magic.serve.alone [COMMAND]`: what an image runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

_USAGE = """python -m autodeploy_magic.serve.alone [COMMAND]

    serve     serve the model (the default; written out, on port 8080 unless PORT says otherwise)
    check     answer the rows on standard input with a server that ends afterwards; one line of JSON
    health    0 where the server on this machine is ready
    lambda    answer what AWS Lambda's runtime API hands out (the default where there is one)
    handed    serve what a supervisor hands over through a unix socket

All else is said by the environment: `help(autodeploy_magic.serve.alone)`.
"""


def main(arguments: Sequence[str]) -> int:
    """Run a command and return the exit code."""
    command = arguments[0] if arguments else ""
    if len(arguments) > 1 or command not in ("", "serve", "check", "health", "lambda", "handed"):
        sys.stderr.write(_USAGE)
        return 0 if command in ("help", "--help", "-h") else 2
    if command == "health":
        from autodeploy_magic.serve.alone.health import main as health

        return health()
    if not command and os.environ.get("AWS_LAMBDA_RUNTIME_API"):
        command = "lambda"
    from autodeploy_magic.serve.alone.begin import begin

    return begin(command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
