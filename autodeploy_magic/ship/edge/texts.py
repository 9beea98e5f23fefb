"""What stands in the folder for people and for installers: README.md, requirements.txt, NOTICE, LICENSE."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from autodeploy_magic.contracts import Version
from autodeploy_magic.registry import need
from autodeploy_magic.ship.text import check_text

__all__ = ["readme", "write_licenses", "write_requirements"]

_README = """\
# {name} v{number}, for the edge

{model}

A graph that ONNX Runtime runs, and one Python file around it. Nothing here needs the notebook, the deployment or a
network. `signature.json` says what a row looks like and how answers come about; what it says of columns
is checked for every row.

## Run it

```sh
python -m venv edge && . edge/bin/activate
pip install -r requirements.txt
python predict.py --check           # replays sample.json: {{"rows": …, "agree": …}}
python predict.py rows.json         # a list of rows or records; rows.csv (a line of names first); - for standard input
python predict.py --time 200        # how fast it is on this device
```

One JSON line is printed for each row. The exit status is 0, 1 where `--check` finds an answer that differs, and 2 where
rows are refused (the field is named) or the folder cannot be used.

## Embed it

```python
from predict import InvalidInputs, Model    # this folder on sys.path, or predict.py copied

model = Model("path/of/this/folder", threads=1)
answers = model.predict(rows)               # lists, dicts, or a numpy array → {{"predictions": array, …}}
```

`predict.py` is one file of Python 3.9 or later (onnxruntime may want a later one); numpy and onnxruntime are all it
imports. Of a pandas frame, send `frame.to_dict("list")`: None and NaN are missing values. `Model(folder,
file="model.onnx")` runs the ONNX file instead, with onnxruntime's optimisations for the processor at hand: start-up
takes longer, answers agree within rounding.

## The files

- `model.ort`: ONNX Runtime's own format, optimised at level "all" but for the layout that is one processor's (NCHWc).
  Written by onnxruntime {ort}; that release and later ones read it. {batch}
- `model.onnx`: the graph as it was verified.
- `required_operators.config`: what a minimal build of ONNX Runtime must hold:
  `./build.sh --config MinSizeRel --minimal_build extended --include_ops_by_config required_operators.config
  --enable_reduced_operator_type_support --disable_ml_ops` (leave the last out where the file names `ai.onnx.ml`).
- `sample.json`: rows, and what the trained model answered to them.
- `requirements.txt`: the exact releases that the sample was replayed with.
{more}
## To an earlier version

The folder holds all of one version: keep the one before beside it, and point the device at the folder that is to
answer.

## What it does not do

No server, tokens, metrics, recording, recovery or updates: that is what the deployment and its image have. One process
answers one call at a time. Values too large for the model's precision are refused, as the deployment does. On another
processor numbers may differ in the last digits; `--check` knows how far is well.

## What was checked

When this folder was written, its `predict.py` answered the sample with `model.ort` on the machine that wrote it, and
the answers were compared with the trained model's. No other device and no minimal build was tried.
"""

_WHEEL = """\
- `dist/`: the same as a wheel: `pip install --no-deps dist/*.whl`, then `from {package} import load` and
  `load().predict(rows)`, or the command `{command} rows.json`. It asks for numpy and onnxruntime by themselves.
"""
_WEB = """\
- `web/`: a static page that runs the model in a browser. `python -m http.server -d web 8000`, then
  http://127.0.0.1:8000/ (a page opened as a file may not load a model). See `web/README.md`.
"""
_AROUND = """\
- `around.py`: your own code around the model, as it stood in the notebook; `predict.py` runs it. Read it before you
  pass it on.
"""
_ANY_ROWS = "It takes any number of rows."
_FIXED_ROWS = "It takes exactly {rows} rows at once; `predict.py` splits what it is given, and fills up the last."


def readme(version: Version, signature: dict[str, Any], *, ort: str, wheel: tuple[str, str] | None, web: bool) -> str:
    """README.md. `wheel` is the package's name and its command's."""
    more = _AROUND if signature["code"] else ""
    more += _WHEEL.format(package=wheel[0], command=wheel[1]) if wheel else ""
    more += _WEB if web else ""
    rows = signature["batch"]
    return _README.format(
        name=check_text(version.deployment, "the name"),
        number=version.number,
        model=f"`{_word(version.model_type)}`",
        ort=ort,
        batch=_FIXED_ROWS.format(rows=rows) if rows else _ANY_ROWS,
        more=more,
    )


def write_requirements(folder: Path) -> str:
    """requirements.txt: the exact releases that wrote the model and replay its sample. Returns onnxruntime's."""
    import numpy as np

    ort = str(need("onnxruntime", "shipping to the edge").__version__)  # a build for GPUs has another name, and this
    (folder / "requirements.txt").write_text(f"numpy=={np.__version__}\nonnxruntime=={ort}\n", "utf-8")
    return ort


_NOTICE = """\
predict.py, and the files of web/ that are not in web/ort/, are copied from autodeploy_magic: Apache License 2.0, in
LICENSE. They may be changed and passed on under its terms.

model.ort, model.onnx, signature.json and sample.json are made of your model and your rows: they are yours, and no
licence is given to them here.
"""
_NOTICE_WEB = """
web/ort/ is ONNX Runtime Web by Microsoft Corporation, unchanged: MIT License, in web/ort/LICENSE.
"""


def write_licenses(folder: Path, *, runtime: bool) -> None:
    """LICENSE of what is copied of ours, and NOTICE. `runtime` says that ONNX Runtime Web lies there as well."""
    (folder / "LICENSE").write_text(_license_of("autodeploy_magic", _APACHE), "utf-8")
    (folder / "NOTICE").write_text(_NOTICE + (_NOTICE_WEB if runtime else ""), "utf-8")
    if runtime:
        (folder / "web" / "ort" / "LICENSE").write_text(_MIT, "utf-8")


def _license_of(name: str, otherwise: str) -> str:
    """The licence that an installed distribution brings, or where to read it."""
    try:
        return distribution(name).read_text("licenses/LICENSE") or otherwise
    except PackageNotFoundError:  # run from a copy of its files, as images have
        return otherwise


def _word(text: str) -> str:
    """A text that stands as it is between backticks."""
    return re.sub(r"[`\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()[:200] or "model"


_APACHE = """\
Apache License, Version 2.0. You may obtain a copy of it at http://www.apache.org/licenses/LICENSE-2.0

Distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
"""

_MIT = """\
MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
