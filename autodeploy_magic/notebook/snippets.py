"""How to call a deployment from elsewhere: text that works when it is pasted.

The token is read from its file when the snippet runs, so that a saved notebook holds no secret. A request too long to
read is taken from the sample file of the version.
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

__all__ = ["Snippets", "first_rows", "sample_of", "snippets"]

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


def snippets(store: Store, version: Version, url: str) -> Snippets:
    """Return the snippets that send one row of the version's sample to `url`."""
    body: Any = {"inputs": first_rows(sample_of(store, version), 1)}
    text = json.dumps(body, ensure_ascii=False)
    file = None if len(text) <= LONGEST_BODY else _short_sample(store, version)
    token = store.folder(version.deployment) / "token"
    return Snippets(
        curl=_curl(f"{url}/predict", token, text, file),
        python=_python(f"{url}/predict", token, body, file),
        javascript=_javascript(f"{url}/predict", token, text, file),
    )


def _short_sample(store: Store, version: Version) -> Path:
    """The few rows of the sample that travel in the Bento: a whole request, as a file."""
    path = next(item.path for item in version.artifacts if item.role == "sample")
    return store.folder(version.deployment) / version.model_path / path


def _curl(url: str, token: Path, text: str, file: Path | None) -> str:
    data = shlex.quote(text) if file is None else f"@{_shell_path(file)}"
    return (
        f"curl -sS {shlex.quote(url)} \\\n"
        f'  -H "Authorization: Bearer $(cat {_shell_path(token)})" \\\n'
        f"  -H 'Content-Type: application/json' \\\n"
        f"  --data-binary {data}"
    )


def _python(url: str, token: Path, body: Any, file: Path | None) -> str:
    if file is None:
        data = f"body = {pprint.pformat(body, width=100, sort_dicts=False)}"
    else:
        data = f"body = json.loads(Path({json.dumps(_tilde(file))}).expanduser().read_text())"
    return (
        "import json\nfrom pathlib import Path\nfrom urllib.request import Request, urlopen\n\n"
        f"token = Path({json.dumps(_tilde(token))}).expanduser().read_text().strip()\n"
        f"{data}\n"
        'headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}\n'
        f"with urlopen(Request({json.dumps(url)}, json.dumps(body).encode(), headers)) as answer:\n"
        "    print(json.load(answer))\n"
    )


def _javascript(url: str, token: Path, text: str, file: Path | None) -> str:
    body = f"JSON.stringify({text})" if file is None else f"readFileSync({_js_path(file)}, 'utf8')"
    return (
        "// Node 18 or newer. In a browser, or on another machine, set `token` to what is in the file.\n"
        "(async () => {\n"
        '  const { readFileSync } = await import("node:fs");\n'
        f'  const token = readFileSync({_js_path(token)}, "utf8").trim();\n'
        f"  const answer = await fetch({json.dumps(url)}, {{\n"
        '    method: "POST",\n'
        '    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },\n'
        f"    body: {body},\n"
        "  });\n"
        "  console.log(await answer.json());\n"
        "})();\n"
    )


def _below_home(path: Path) -> str | None:
    """The path relative to the home folder, so that a shared notebook does not carry a user's name."""
    try:
        return path.relative_to(Path.home().resolve()).as_posix()
    except (ValueError, RuntimeError):
        return None


def _tilde(path: Path) -> str:
    relative = _below_home(path)
    return str(path) if relative is None else f"~/{relative}"


def _shell_path(path: Path) -> str:
    relative = _below_home(path)
    return shlex.quote(str(path)) if relative is None else f'"$HOME"/{shlex.quote(relative)}'


def _js_path(path: Path) -> str:
    relative = _below_home(path)
    return json.dumps(str(path)) if relative is None else f"process.env.HOME + {json.dumps('/' + relative)}"
