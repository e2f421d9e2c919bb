# make fit: set up and train.   make test: set up and test.   make lint: style.   make bench: speed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: fit test lint bench setup clean

fit: setup
	$(BIN)/python cli.py fit $(ARGS)

test: setup
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

bench: setup
	$(BIN)/python benchmarks/speed.py $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

setup: .venv/.installed

.venv/.installed: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[train,lite0,onnx,survey,explain,morphometry,scale,fits,test]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
