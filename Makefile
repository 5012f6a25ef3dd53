PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

COVERAGE := 90
WORKERS := auto

.PHONY: demo test test-pythons test-container audit sbom lint format clean

demo: $(VENV)/run
	$(BIN)/fomoad sample-data $(DEMO)/data
	$(BIN)/fomoad train --data-directory $(DEMO)/data --out-directory $(DEMO)/models
	$(BIN)/fomoad test --model $(DEMO)/models/model.tflite --data-directory $(DEMO)/data --report-directory $(DEMO)/report
	$(BIN)/fomoad test --model $(DEMO)/models/model_quantized_int8_io.tflite --data-directory $(DEMO)/data --report-directory $(DEMO)/report-int8
	@echo
	@echo "Models, threshold and metadata:  $(DEMO)/models"
	@echo "Report of the float32 model:     $(DEMO)/report/report.html"
	@echo "Report of the int8 model:        $(DEMO)/report-int8/report.html"

# A process for each processor, four at most. Fails below COVERAGE percent of lines and branches; what runs in processes
# of its own is not counted.
test: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses=$(WORKERS) --maxprocesses=4 --dist=loadfile --cov --cov-report=term:skip-covered --cov-fail-under=$(COVERAGE)

# Python 3.10, 3.11 and 3.12, those of pyenv where it has them.
test-pythons: $(VENV)/dev
	PATH="$(subst $(eval) ,:,$(wildcard $(HOME)/.pyenv/versions/3.1[012]*/bin)):$$PATH" $(BIN)/nox

# Needs a Docker engine; FOMOAD_TEST_KILLS and FOMOAD_TEST_IMAGES make it more or less thorough.
test-container: $(VENV)/dev
	$(BIN)/python -m pytest -m container tests/container

# Whether any package of the image, on any machine, has a known vulnerability; what cannot be told is an error. It asks
# PyPI, or with ADVISORIES=FILE, without a network, a saved database (tools/audit.py says which).
audit:
	$(PYTHON) -m venv $(VENV)/audit
ifdef ADVISORIES
	$(VENV)/audit/bin/python -c "import packaging" 2>/dev/null || $(VENV)/audit/bin/pip install --quiet packaging
	$(VENV)/audit/bin/python tools/audit.py $(ADVISORIES)
else
	$(VENV)/audit/bin/pip install --quiet pip-audit
	sed 's/ ; .*/ \\/' requirements.lock > $(VENV)/audit/requirements
	$(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement $(VENV)/audit/requirements || \
	    { echo "Without a network: make audit ADVISORIES=FILE, see tools/audit.py."; exit 1; }
endif

# Bills of materials (CycloneDX): of the image, from the lock and the Dockerfile's base, and of the package.
sbom: $(VENV)/run
	mkdir -p build
	$(BIN)/python tools/image/sbom.py --lock requirements.lock --base "$$(sed -n 's/^ARG BASE_IMAGE=//p' Dockerfile)" > build/image.cdx.json
	$(BIN)/python tools/image/sbom.py --requirements requirements.txt > build/package.cdx.json

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(DEMO)

$(VENV)/run: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

$(VENV)/dev: $(VENV)/run requirements-dev.txt
	$(BIN)/pip install --quiet --requirement requirements-dev.txt
	touch $@
