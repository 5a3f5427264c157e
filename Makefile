# Everything is installed into this folder (.venv, bin, .jupyter) or the user's cache folder; see environment.md.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test notebook notebooks bench setup lint build clean

# Jupyter reads and writes only below this folder.
JUPYTER := JUPYTER_CONFIG_DIR=$(CURDIR)/.jupyter/config JUPYTER_DATA_DIR=$(CURDIR)/.jupyter/data \
	JUPYTER_RUNTIME_DIR=$(CURDIR)/.jupyter/run IPYTHONDIR=$(CURDIR)/.jupyter/ipython
NOTEBOOKS := $(CURDIR)/notebooks
ROOT_USER := $(if $(filter 0,$(shell id -u)),--allow-root)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build ## set up XLA, train four ways on a synthetic city, draw the figures
	@bin/stprune setup --cpu || echo "make: continuing without XLA"
	@bin/stprune demo

test: setup lint ## set up what the tests need, check the code, run all tests
	go test -timeout 30m ./...

notebook: setup ## open JupyterLab with the project's kernels (ARGS="--no-browser --port 8889" is passed on)
	$(JUPYTER) STPRUNE_RUNS="$${STPRUNE_RUNS:-$(CURDIR)/runs}" .venv/bin/jupyter lab --ip 127.0.0.1 $(ROOT_USER) --ServerApp.root_dir="$(NOTEBOOKS)" \
		--LabApp.extension_manager=readonly --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate \
		--LanguageServerManager.autodetect=False $(ARGS)

notebooks: setup ## run all notebooks and store them with their outputs
	.venv/bin/python kernels/execute.py notebooks/*.ipynb

bench: build bench/.venv/installed ## time steps, evaluations and epochs of ours and of PyTorch in turn (ARGS="--repeat 2 --for 5s" is passed on)
	@bin/stprune setup --cpu
	bin/stprune bench peers $(ARGS)

# This file says that pip came to its end.
bench/.venv/installed: bench/requirements.txt
	python3 -m venv bench/.venv
	bench/.venv/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

setup: build ## install XLA for the CPU, JupyterLab and the kernels
	@bin/stprune setup --cpu --jupyter

lint: ## gofmt, vet, staticcheck, and the build without cgo
	@unformatted=$$(find . -name '*.go' -not -path './.*' -exec gofmt -l {} +); \
		if [ -n "$$unformatted" ]; then echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...
	CGO_ENABLED=0 go build -o /dev/null ./cmd/stprune

# The revision is stamped where git answers; it refuses in a folder of another user.
build:
	go build -buildvcs=$(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false) -o bin/stprune ./cmd/stprune

clean: ## remove what was built or installed in this folder; the user's cache folder and runs stay
	rm -rf bin .venv .jupyter demo bench/.venv
