# FrankenTorch. `make demo` and `make test` set up everything they need; both are quick the second time.
VENV ?= .venv
PY := $(VENV)/bin/python
PYTHON ?= python3
N ?= 1000
SEED ?= 0
.PHONY: demo test lint bench bits fuzz ulp clean

# One stamp a set of extras: set up again only when pyproject.toml changes.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -q --upgrade pip

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(PY) -m pip install -q -e ".[examples]"
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(PY) -m pip install -q -e ".[test,lint]"
	touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	$(PY) -m frankentorch env
	$(PY) examples/digits_cnn.py
	$(PY) examples/char_gpt.py --steps 60

test: $(VENV)/.test
	$(PY) -m pytest -n 2 --dist worksteal

lint: $(VENV)/.test
	$(VENV)/bin/ruff check frankentorch tests bench examples
	$(VENV)/bin/mypy frankentorch

fuzz: $(VENV)/.test
	$(PY) -m frankentorch.conformance.fuzz --n $(N) --seed $(SEED)

ulp: $(VENV)/.test
	$(PY) bench/ulp.py

bench: $(VENV)/.test
	$(PY) bench/overhead.py

bits: $(VENV)/.test
	$(PY) bench/bits.py

clean:
	rm -rf $(VENV) build dist *.egg-info
