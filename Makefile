PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: demo test test-container audit lint format clean

demo: $(VENV)/run
	$(BIN)/fomoad sample-data $(DEMO)/data
	$(BIN)/fomoad train --data-directory $(DEMO)/data --out-directory $(DEMO)/models
	$(BIN)/fomoad test --model $(DEMO)/models/model.tflite --data-directory $(DEMO)/data --report-directory $(DEMO)/report
	$(BIN)/fomoad test --model $(DEMO)/models/model_quantized_int8_io.tflite --data-directory $(DEMO)/data --report-directory $(DEMO)/report-int8
	@echo
	@echo "Models, threshold and metadata:  $(DEMO)/models"
	@echo "Report of the float32 model:     $(DEMO)/report/report.html"
	@echo "Report of the int8 model:        $(DEMO)/report-int8/report.html"

test: $(VENV)/dev
	$(BIN)/python -m pytest

# Needs a Docker engine; FOMOAD_TEST_KILLS and FOMOAD_TEST_IMAGES make it more or less thorough.
test-container: $(VENV)/dev
	$(BIN)/python -m pytest -m container tests/container

# Asks PyPI whether any package of the image, on any machine, has a known vulnerability; what it cannot tell is an error.
audit:
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet pip-audit
	sed 's/ ; .*/ \\/' requirements.lock > $(VENV)/audit/requirements
	$(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement $(VENV)/audit/requirements

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
