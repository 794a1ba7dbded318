# clmr: every command of the README. `make` alone prints this list.

PYTHON  ?= python3
DATASET ?= demo
SOURCE  ?= data/raw/$(DATASET)
SHARDS  ?= data/shards/$(DATASET)
RUN     ?= runs/$(DATASET)
JOBS    ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2)
UNIT    ?= clip
NPROC   ?= 1
FILE    ?=
ARGS    ?=
export SOURCE SHARDS RUN FILE  # recipes read them from the environment: quotes and spaces in paths survive

BIN     := .venv/bin
STAMP   := .venv/.installed
LAUNCH   = $(BIN)/$(if $(filter 1,$(NPROC)),python,torchrun --standalone --nproc-per-node $(NPROC) --)

.DEFAULT_GOAL := help
.PHONY: help install demo shards verify page listen pretrain features probe report paper study bench gpu-check lint test programs clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'
	@printf '\n  variables: DATASET=%s SOURCE=%s SHARDS=%s RUN=%s JOBS=%s UNIT=%s NPROC=%s FILE=%s ARGS="--option value"\n' \
	    '$(DATASET)' '$(SOURCE)' '$(SHARDS)' '$(RUN)' '$(JOBS)' '$(UNIT)' '$(NPROC)' '$(FILE)'

install: $(STAMP) ## make .venv with everything in it; does nothing when up to date

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "error: $(PYTHON) is older than Python 3.11; use make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install ## the whole chain on a corpus it makes itself: shards, pretraining, features, probe, table (CPU, minutes)
	$(BIN)/python train/demo.py --jobs $(JOBS) $(ARGS)

shards: install ## recordings to shards: DATASET=mtat SOURCE=dir-or-url SHARDS=dir-or-url JOBS=8 UNIT=song
	$(BIN)/python -m sharding build $(DATASET) --source "$$SOURCE" --out "$$SHARDS" --jobs $(JOBS) --unit $(UNIT) $(ARGS)

verify: install ## recount and rehash the shards in SHARDS
	$(BIN)/python -m sharding verify "$$SHARDS" $(ARGS)

page: install ## an HTML page to see and hear what SHARDS holds
	$(BIN)/python -m sharding page "$$SHARDS" $(ARGS)

listen: install ## a page to hear and see every augmentation: on FILE=song.mp3, or on music it makes itself
	$(BIN)/python -m clmr.augment --page runs/listen $(if $(FILE),"$$FILE") $(ARGS)

pretrain: install ## NT-Xent pretraining on SHARDS into RUN, NPROC processes
	$(LAUNCH) train/pretrain.py --shards "$$SHARDS" --run "$$RUN" $(ARGS)

features: install ## encode every window of SHARDS with the frozen encoder of RUN, into RUN/features
	$(LAUNCH) train/embed.py --run "$$RUN" --shards "$$SHARDS" --out "$$RUN/features" $(ARGS)

probe: install ## linear probe on RUN/features, scores into RUN/probe
	$(BIN)/python train/probe.py --features "$$RUN/features" --out "$$RUN/probe" $(ARGS)

report: install ## summary and curves of RUN, and one page to look at and listen to: RUN/report.html
	$(BIN)/python train/report.py --run "$$RUN" $(ARGS)

paper: install ## trainings and tables of the paper: ARGS='run "Table 2" --out runs/paper --dry-run'
	$(BIN)/python -m train.runner $(ARGS)

study: install ## does it learn? a corpus, 45 trainings and their tables, in runs/study (2 cores: under two hours)
	$(BIN)/python -m train.study run --jobs $(JOBS) $(ARGS)

bench: install ## speed against peers in one run, written to benchmarks/results
	$(BIN)/python -m benchmarks.loader $(ARGS)
	$(BIN)/python -m benchmarks.remote
	$(BIN)/python -m benchmarks.opening
	$(BIN)/python -m benchmarks.sharder
	$(BIN)/python -m benchmarks.augment
	$(BIN)/python -m benchmarks.trainer
	$(BIN)/python -m benchmarks.probe

gpu-check: ## everything that needs a GPU, checked and measured in 10 minutes; writes benchmarks/gpu-NAME.{json,md}
	@$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m benchmarks.gpu $(ARGS)

lint: install ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: install programs lint ## lint, then every test; as root with apt it installs sox, ffmpeg, fluidsynth, chromium and ceph
	$(BIN)/python -m pytest --numprocesses $(JOBS) --maxprocesses 4 --dist loadfile $(ARGS)

programs:
	@sh tests/programs.sh

clean: ## remove caches and .venv; data/ and runs/ stay
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './data/*' -not -path './runs/*' -prune -exec rm -rf {} +
