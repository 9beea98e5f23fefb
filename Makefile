# Everything a fresh machine needs is made by the first command: a Python >= 3.11 is all that must be there.
.DEFAULT_GOAL := help
.PHONY: help demo test test-system test-browser check lint lint-python lint-browser format lab labextension
.PHONY: bench bench-soak ray matrix tables clean

VENV := .venv/bin

help:  ## what there is
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z%-]+):.*## */make \1	/' | expand -t 16

.venv/.installed: pyproject.toml constraints.txt tools/venv.sh hatch_build.py
	@tools/venv.sh dev installed

# The demo needs no framework but scikit-learn: PyTorch and TensorFlow come with the tests.
.venv/.demo: pyproject.toml constraints.txt tools/venv.sh hatch_build.py
	@tools/venv.sh examples demo

demo: .venv/.demo  ## run examples/01_quickstart.ipynb for real, show what it serves, clean up
	@$(VENV)/python examples/run_demo.py

test:  ## lint and all tests
	@$(MAKE) --no-print-directory --jobs=3 test-system lint-python test-browser
	@tools/pytest.sh

# What `make test` does side by side, before the tests that need all of it.
test-system:
	@tools/system.sh
	@tools/cluster_tools.sh

test-browser: lint-browser
	$(VENV)/python tools/assets.py lab
	$(VENV)/python tools/assets.py npm test

check: lint  ## lint and the tests that take seconds
	$(VENV)/python tools/assets.py npm test
	$(VENV)/python -m pytest -m 'not slow and not e2e'

lint: lint-python lint-browser  ## ruff, mypy, the tables of the README; eslint, prettier and tsc

lint-python: .venv/.installed
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	$(VENV)/python docs/tables.py --check

lint-browser: .venv/.installed
	$(VENV)/python tools/assets.py npm run --silent lint

format: .venv/.installed  ## let ruff, eslint and prettier put things right
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .
	$(VENV)/python tools/assets.py npm run --silent format

labextension: .venv/.demo  ## build the panel and the sidebar where their sources changed, for this JupyterLab
	@$(VENV)/python tools/assets.py lab

lab: labextension  ## open JupyterLab on the examples
	$(VENV)/jupyter lab --notebook-dir examples $$([ "$$(id -u)" = 0 ] && echo --allow-root)

bench: .venv/.installed  ## measure, and print each figure beside its target (12 minutes; the first time installs peers)
	$(VENV)/python benchmarks/everything.py

bench-soak: .venv/.installed  ## ten minutes at full load: what memory does
	$(VENV)/python benchmarks/soak.py --minutes 10

bench-%: .venv/.installed  ## one of them: bench-serving, bench-robustness, bench-one_row, … (benchmarks/everything.py)
	$(VENV)/python benchmarks/everything.py $*

ray: .venv/.installed  ## a Ray cluster of two nodes: updates, killed replicas and nodes (its own environment: 650 MB the first time)
	@tools/ray.sh

matrix: .venv/.installed  ## every framework's models: what is exported, how close, how fast; into the README
	$(VENV)/python benchmarks/matrix.py --write

tables: .venv/.installed  ## rewrite the tables of the README from the registries
	$(VENV)/python docs/tables.py

clean:  ## remove what make and the tools made here; deployments are not touched
	rm -rf .venv .demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf labextension/node_modules labextension/lib labextension/dist autodeploy_magic/notebook/static
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
