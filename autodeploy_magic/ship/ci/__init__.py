"""`ship ci`: a pipeline that rebuilds the version, proves it, signs its image, and deploys it as a canary first.

ci.py          the target: what it needs to know, and which files it writes
github.py      GitHub's workflow          gitlab.py   .gitlab-ci.yml
Jenkinsfile    in scripts/, with everything else that is copied as it stands: it holds no value
scripts/       the steps themselves; the pipelines only call them
words.py       README.md
"""
