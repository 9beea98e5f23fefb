"""How to call a deployment from elsewhere: text that works when it is pasted.

The token is read from its file when the snippet runs, so that a saved notebook holds no secret. A request too long to
read is taken from the sample file of the version. Over HTTPS the deployment's own certificate is what is trusted.
"""

from __future__ import annotations

import json
import pprint
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Version
from autodeploy_magic.store import Store

__all__ = ["Snippets", "first_rows", "sample_of", "shell_path", "snippets", "tilde"]

LONGEST_BODY = 1200
"""Characters of a request that a person may still want to read."""


@dataclass(frozen=True)
class Snippets:
    """The same request, three times."""

    curl: str
    python: str
    javascript: str


def sample_of(store: Store, version: Version) -> Any:
    """The `inputs` of the version's sample, as a request would send them."""
    file = store.version_folder(version.deployment, version.number) / "sample.json"
    return json.loads(file.read_text("utf-8"))["inputs"]


def first_rows(inputs: Any, rows: int, *, start: int = 0) -> Any:
    """Return some rows of `inputs`, whether they are a list of rows or an object of columns."""
    if isinstance(inputs, dict):
        return {name: values[start : start + rows] for name, values in inputs.items()}
    return inputs[start : start + rows]


@dataclass(frozen=True)
class _Call:
    """What the three have in common. `token` and `trusted` are files, None where there is none to send or to trust."""

    url: str
    text: str
    body: Any
    file: Path | None
    token: Path | None
    trusted: Path | None


def snippets(store: Store, version: Version, url: str, *, auth: bool = True, trusted: Path | None = None) -> Snippets:
    """Return the snippets that send one row of the version's sample to `url`.

    Without `auth` they send no token; `trusted` is the file that an HTTPS server is verified against.
    """
    body: Any = {"inputs": first_rows(sample_of(store, version), 1)}
    text = json.dumps(body, ensure_ascii=False)
    file = None if len(text) <= LONGEST_BODY else _short_sample(store, version)
    token = store.token_file(version.deployment) if auth else None
    call = _Call(f"{url}/predict", text, body, file, token, trusted)
    return Snippets(curl=_curl(call) + _remarks(call, version), python=_python(call), javascript=_javascript(call))


def _short_sample(store: Store, version: Version) -> Path:
    """The few rows of the sample that travel in the Bento: a whole request, as a file."""
    path = next(item.path for item in version.artifacts if item.role == "sample")
    return store.folder(version.deployment) / version.model_path / path


def _remarks(call: _Call, version: Version) -> str:
    """What else can be asked: the items as they come; one file, which is the reader's own, sent as it is."""
    streams = any(output.streams for output in version.outputs)
    items = "\n# item by item: add -N -H 'Accept: text/event-stream'" if streams else ""
    (first, *others) = version.signature.columns
    kind = {"image": "image/png", "bytes": "application/octet-stream"}.get(first.dtype)
    if others or kind is None:
        return items
    lines = _curl(call).split(" \\\n  ")[:-2]
    return f"{items}\n# one file: {' '.join(lines)} -H 'Content-Type: {kind}' --data-binary @FILE"


def _curl(call: _Call) -> str:
    lines = [f"curl -sS {shlex.quote(call.url)}"]
    if call.trusted is not None:
        lines.append(f"--cacert {shell_path(call.trusted)}")
    if call.token is not None:
        lines.append(f'-H "Authorization: Bearer $(cat {shell_path(call.token)})"')
    lines.append("-H 'Content-Type: application/json'")
    lines.append(f"--data-binary {shlex.quote(call.text) if call.file is None else '@' + shell_path(call.file)}")
    return " \\\n  ".join(lines)


def _python(call: _Call) -> str:
    https = call.trusted is not None
    files = any(file is not None for file in (call.token, call.file, call.trusted))
    lines = ["import json", *(["import ssl"] if https else []), *(["from pathlib import Path"] if files else [])]
    lines += ["from urllib.request import Request, urlopen", ""]
    if call.token is not None:
        lines.append(f"token = Path({json.dumps(tilde(call.token))}).expanduser().read_text().strip()")
    if call.file is None:
        lines.append(f"body = {pprint.pformat(call.body, width=100, sort_dicts=False)}")
    else:
        lines.append(f"body = json.loads(Path({json.dumps(tilde(call.file))}).expanduser().read_text())")
    bearer = '"Authorization": f"Bearer {token}", ' if call.token is not None else ""
    lines.append(f'headers = {{{bearer}"Content-Type": "application/json"}}')
    if call.trusted is not None:
        lines.append(
            f"context = ssl.create_default_context(cafile=Path({json.dumps(tilde(call.trusted))}).expanduser())"
        )
        lines.append("context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN")
    more = ", context=context" if https else ""
    lines.append(f"with urlopen(Request({json.dumps(call.url)}, json.dumps(body).encode(), headers){more}) as answer:")
    return "\n".join([*lines, "    print(json.load(answer))", ""])


def _javascript(call: _Call) -> str:
    """Over HTTPS with node's own module: its `fetch` cannot be told what to trust."""
    body = f"JSON.stringify({call.text})" if call.file is None else f"readFileSync({_js_path(call.file)}, 'utf8')"
    reads = call.token is not None or call.trusted is not None or call.file is not None
    bearer = "Authorization: `Bearer ${token}`, " if call.token is not None else ""
    lines = ["(async () => {"]
    lines += ['  const { readFileSync } = await import("node:fs");'] if reads else []
    lines += ['  const { request } = await import("node:https");'] if call.trusted is not None else []
    if call.token is not None:
        lines.append(f'  const token = readFileSync({_js_path(call.token)}, "utf8").trim();')
    headers = f'{{ {bearer}"Content-Type": "application/json" }}'
    if call.trusted is None:
        first = "// Node 18 or newer."
        first += " In a browser, or on another machine, set `token` to what is in the file." if call.token else ""
        lines += [
            f"  const answer = await fetch({json.dumps(call.url)}, {{",
            '    method: "POST",',
            f"    headers: {headers},",
            f"    body: {body},",
            "  });",
            "  console.log(await answer.json());",
        ]
    else:
        first = "// Node 18 or newer; 22.9 or newer where the certificate was issued by an authority."
        lines += [
            f"  const ca = readFileSync({_js_path(call.trusted)});",
            f"  const headers = {headers};",
            '  const options = { method: "POST", ca, allowPartialTrustChain: true, headers };',
            f"  const sent = request({json.dumps(call.url)}, options, async answer => {{",
            '    let text = "";',
            "    for await (const part of answer) text += part;",
            "    console.log(JSON.parse(text));",
            "  });",
            f"  sent.end({body});",
        ]
    return "\n".join([first, *lines, "})();", ""])


def _below_home(path: Path) -> str | None:
    """The path relative to the home folder, so that a shared notebook does not carry a user's name."""
    try:
        return path.relative_to(Path.home().resolve()).as_posix()
    except (ValueError, RuntimeError):
        return None


def tilde(path: Path) -> str:
    """The path as a person writes it."""
    relative = _below_home(path)
    return str(path) if relative is None else f"~/{relative}"


def shell_path(path: Path) -> str:
    """The path as a shell takes it."""
    relative = _below_home(path)
    return shlex.quote(str(path)) if relative is None else f'"$HOME"/{shlex.quote(relative)}'


def _js_path(path: Path) -> str:
    relative = _below_home(path)
    return json.dumps(str(path)) if relative is None else f"process.env.HOME + {json.dumps('/' + relative)}"
