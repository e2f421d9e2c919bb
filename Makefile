# make fit: set up and train.   make test: set up and test.   make lint: style and types.   make bench: speed.
# make gpu: checks and speed on a GPU.
# make oldest: test with the oldest versions that setup.cfg allows.
# make docs: build the site.   make package: build, check and try the distributions.
PYTHON ?= python3
BIN := .venv/bin
OLDEST := .venv-oldest
EXTRAS := hats hdf5 lite0 mlflow morphometry onnx scale similar tensorboard test wandb
comma := ,
empty :=
EVERYTHING := .[$(subst $(empty) ,$(comma),$(EXTRAS))]

docs: setup
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

.PHONY: docs fit test oldest lint bench gpu package setup clean

fit: setup
	$(BIN)/python cli.py fit $(ARGS)

# In the order of the files: sorted by their number of tests, those of few dear ones would be last.
test: setup
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(ARGS)

# uv knows which versions those are; pip installs them.
oldest:
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet uv
	$(OLDEST)/bin/uv pip compile --quiet --no-annotate --resolution lowest-direct \
		--python $(OLDEST)/bin/python $(EXTRAS:%=--extra %) --output-file $(OLDEST)/versions.txt setup.cfg
	$(OLDEST)/bin/python -m pip install --quiet --no-deps --requirement $(OLDEST)/versions.txt
	$(OLDEST)/bin/python -m pip install --quiet --no-deps --editable .
	$(OLDEST)/bin/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(ARGS)

bench: setup
	$(BIN)/python benchmarks/speed.py $(ARGS)

gpu: setup
	$(BIN)/python benchmarks/gpu.py $(ARGS)

package:
	$(PYTHON) tools/package.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy

setup: .venv/.installed

.venv/.installed: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '$(EVERYTHING)'
	touch $@

clean:
	rm -rf .venv $(OLDEST) build dist *.egg-info
