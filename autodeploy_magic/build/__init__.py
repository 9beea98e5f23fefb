"""MODEL → BENTO: from a live object in a kernel to a verified, versioned Bento.

    flow.py          build(): capture → export → verify → package, in order
    read/            a model that is a file, one kind a file
    find.py          which object in the notebook is the model
    request.py       what the person asks for, and whether that can be had
    sample.py        the sample → the signature of a request (column.py: one column of it)
    live.py          what the live object answers, with the person's own code around it
    capture.py       everything a version is made from: model, answers, code, environment; and its digest
    code.py          pickles whose bytes depend on the content alone; code_culprit.py, what cannot be pickled, and the
                     way to it; code_secrets.py, what had better stay here
    environment/     exact pins, and the modules that travel by copy; conflicts; the environment anew from a Bento
    export/          the model in the formats it can have, one file a framework
    history.py       what earlier versions measured already
    speed.py         how fast the live object is in its kernel
    trial.py         which formats are tried, in which order
    verify.py        each format replayed in a clean process against the live object; the fastest that passes is kept
    compare.py       two answers to the same rows: how far apart
    metric.py        with labels: how good the packaged version is, beside the live object
    stage.py         a version as folders: what a worker loads, and what is kept beside it
    package.py       a staged version, built as a Bento and made a version of the store
    sign.py          its signature, with a key of the person's own
    mlflow.py        a version, logged to MLflow
    source.py        the Bento's code: a small static service, and the part of this package that serves
    bento.py         the part of packaging that runs in a clean process, through BentoML's public API
    difference.py    two versions on the same rows
    clean.py         a fresh process for one function
    memory.py        how much memory is free

Nothing of a deployment changes until the last step, `store.commit`; an error before it leaves no trace.
"""

from __future__ import annotations

from autodeploy_magic.build.clean import SubprocessRunner
from autodeploy_magic.build.difference import difference
from autodeploy_magic.build.find import find_model, fitted_models
from autodeploy_magic.build.flow import BuildRequest, Built, build
from autodeploy_magic.build.read import Loaded, read_model

__all__ = [
    "BuildRequest",
    "Built",
    "Loaded",
    "SubprocessRunner",
    "build",
    "difference",
    "find_model",
    "fitted_models",
    "read_model",
]
