"""README.md of the pipeline."""

from __future__ import annotations

__all__ = ["readme"]

_SYSTEM = {
    "github": """\
## GitHub

- `.github/workflows/deploy-{name}.yaml`: a pull request is rebuilt, replayed and scanned, with no right but to read.
  What is on the branch is also pushed (`packages: write`) and signed (`id-token: write`), and then deployed in a job of
  its own, with no right but to read. Started by hand on another branch, it only checks.
- Make the environment `production` with required reviewers: the deployment waits for them. Its secrets:
  `KUBECONFIG_DATA` (base64), `PROMETHEUS_TOKEN` where Prometheus asks for one.
- Images go to ghcr.io with the job's own token. For another registry: variable `REGISTRY_USER`, secret
  `REGISTRY_PASSWORD`.
- The actions are named by their tags. `sh ci/pin.sh` replaces them by the commits that these tags name: run it, look,
  commit.
- Signing is keyless: the certificate says which workflow signed; `canary.sh` verifies that it was this repository's.
""",
    "gitlab": """\
## GitLab

- `.gitlab-ci.yml`: a merge request is rebuilt, replayed and scanned; what is on the branch is also pushed and signed,
  and is deployed when somebody starts the job `deploy`. Where the repository has one already, `cp` would write over it:
  copy this one as `deploy.gitlab-ci.yml`, and `include` it there by `local:`.
- Protect the branch and the environment `production`. Variables of the project, masked and protected: `REGISTRY_USER`
  and `REGISTRY_PASSWORD` (`CI_REGISTRY_USER` and `CI_REGISTRY_PASSWORD` for GitLab's own registry), `KUBECONFIG_DATA`,
  `PROMETHEUS_TOKEN`.
- The job's image needs podman or buildah, cosign and kubectl for the steps that use them: put an image of yours into
  `default: image`, or install them in `before_script`. With ENGINE='archive' only skopeo is needed.
- Signing is keyless, by the job's `SIGSTORE_ID_TOKEN`. To have it verified before the canary, set `SIGNER_IDENTITY` and
  `SIGNER_ISSUER`.
""",
    "jenkins": """\
## Jenkins

- `Jenkinsfile`, of a multibranch pipeline: each branch is rebuilt, replayed and scanned; what is on the branch is also
  pushed and signed, and is deployed when somebody says so. Where the repository has one already, `cp` would write over
  it: copy this one under another name, and make a second multibranch pipeline of it.
- Credentials, by their ids: `registry` (user name and password), `cosign-key`, `cosign-password`, `kubeconfig`,
  `prometheus-token` (secret texts).
- The agent needs Python, git, a container engine, cosign and kubectl.
- Signing is with a key: `cosign generate-key-pair` makes one. With `COSIGN_PUBLIC_KEY` in the environment the canary
  verifies it.
""",
}


def readme(name: str, version: int, system: str, notes: tuple[str, ...]) -> str:
    """README.md in `ci/`. Of what was typed, nothing stands in it but checked names."""
    noted = "".join(f"- {note}\n" for note in notes)
    return f"""\
# The pipeline of {name}

Written by `ship ci` from v{version}. The pipeline's own file only calls the scripts in this folder; they hold no
values: these stand in `settings.env`, and secrets come from the CI's own store by its environment.

| step | script | what it does, and when it stops the pipeline |
| --- | --- | --- |
| install | `install.sh` | what the version was made with (`requirements.txt`), and the repository's own |
| build | `build.sh` | runs `BUILD`; stops where that did not deploy {name} |
| parity | `parity.sh` | its own sample as verified, the rows of `reference/` within tolerance; `autodeploy diff` |
| scan | `scan.sh` | pip-audit, secrets by their form, gitleaks; the image by trivy and grype. What is missing is said |
| image | `image.sh` | `autodeploy containerize`, the SBOM, push; from here on the image is known by its digest |
| sign | `sign.sh` | cosign: signature, SLSA provenance, SBOM |
| canary | `canary.sh` | one pod of the new image beside the others, by a rolling update that is paused |
| watch | `watch.sh` | the promises in `slo.json` by Prometheus, for BAKE_S seconds; unknown is not taken for good |
| promote | `promote.sh` | the update goes on to its end |
| roll-back | `rollback.sh` | after a failure of canary, watch or promote: the former image |
| finish | `finish.sh` | ends what was started on the runner |

## Prerequisites

- `BUILD` in `settings.env` trains and deploys in the repository: `python train.py` with
  `autodeploy_magic.deploy(model, "{name}", sample=X)` in it, or a notebook: `jupyter execute train.ipynb`
- a registry, and a cluster in which `ship kubernetes` was applied once: a Deployment called `KUBE_DEPLOYMENT`
- a Prometheus that scrapes it, whose series have the labels `namespace` and `pod`

## Begin

    cp -R THIS_FOLDER/. YOUR_REPOSITORY/ && cd YOUR_REPOSITORY
    ci/build.sh && ci/parity.sh && ci/scan.sh && ci/finish.sh     # as the pipeline does it, on this machine
    git add -A && git commit && git push

{_SYSTEM[system].format(name=name)}
## Roll-back

By itself where canary, watch or promote fail. By hand, of what was promoted:

    kubectl --namespace NAMESPACE rollout undo deployment/{name}

## Another way to deploy

`DEPLOY_HOOK` in `settings.env` names a program that is called in kubectl's place: `HOOK canary IMAGE` (it prints
matchers of the canary's series, such as `version="4"`), `HOOK promote IMAGE`, `HOOK rollback BEFORE` (where BEFORE is
empty, since only the hook knows).

## Good to know

{noted}- A canary's share of the requests is its share of the pods.
- Trained anew, a model may answer otherwise: PARITY_AGREEMENT says for how many of the rows it must not. After a change
  that is meant, ship again for a new `reference/`.

## What it does not do, and what was never tried

- It makes no registry, no cluster and no Prometheus, and asks for no credentials.
- The tests of autodeploy_magic run these scripts with a real build, real replays and a server that speaks Prometheus'
  query API; kubectl, cosign, pip-audit and the container engine are stand-ins that note what they are asked. The
  workflow and `.gitlab-ci.yml` are checked against their published schemas.
- Never run: GitHub's, GitLab's and Jenkins' own machinery, a real cluster, a real signature.
"""
