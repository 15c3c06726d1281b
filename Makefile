# kdltr: every target makes its own environment first. `make help` lists them.
#
#   PYTHON       interpreter the environment is made with     (default python3.11)
#   VENV         where the environment is                     (default .venv)
#   PROFILE      folder of params/ that quick, report, … use  (default quick)
#   CORES        threads at once                              (default all)
#   TORCH_INDEX  where PyTorch comes from, to choose the CPU or a CUDA build, as
#                https://download.pytorch.org/whl/cpu         (default: pip's own index)
#   SNAKEMAKE    further arguments of snakemake, as --executor slurm --jobs 8
#   MINUTES      how long there is a GPU: make gpu MINUTES=12 is then a time box in OUT
#   OUT          where a time box and what it goes on from lie  (default results/gpu/box)

PYTHON ?= python3.11
VENV ?= .venv
PROFILE ?= quick
CORES ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
TORCH_INDEX ?=
SNAKEMAKE ?=
MINUTES ?=
OUT ?= results/gpu/box

# The environment is known by the content of what it was made from, not by file times.
STAMP := $(VENV)/.made-from-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
BIN := $(VENV)/bin
# Several processes share the cores there; the workflow sets the threads of each run itself.
test verify notebooks: export OMP_NUM_THREADS = 1

.PHONY: help venv quick small textzoom paper cpu gpu handwriting bench test verify lab report \
	publish notebooks clean distclean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /|/' | \
		while IFS='|' read -r name text; do printf '  make %-11s %s\n' "$$name" "$$text"; done
	@echo 'Variables: see the first lines of Makefile.'

venv: $(STAMP)  ## the environment alone, from constraints.txt

$(STAMP):
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found; install Python 3.11," \
		"or name another with make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than 3.11; make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "installing into $(VENV) (one to five minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -z "$(TORCH_INDEX)" || \
		$(BIN)/pip install -q --index-url $(TORCH_INDEX) "$$(grep '^torch==' constraints.txt)"
	@$(BIN)/pip install -q --no-compile -c constraints.txt -e '.[dev]'
	@rm -f $(VENV)/.made-from-*
	@touch $@

quick: $(STAMP)  ## one recogniser, start to finish: words, two students, table, report; minutes
	@$(BIN)/kdltr run $(PROFILE) --cores $(CORES) -- $(SNAKEMAKE)

small: $(STAMP)  ## all three recognisers in small: benchmarks, costs, examples, handwriting too
	@$(BIN)/kdltr run small --cores $(CORES) -- $(SNAKEMAKE)

textzoom: $(STAMP)  ## recognisers trained for TextZoom, on its test sets: hours (data/README.md)
	@$(BIN)/kdltr run textzoom --cores $(CORES) -- $(SNAKEMAKE)

paper: $(STAMP)  ## the published recipe, on TextZoom with the released teachers (data/README.md)
	@$(BIN)/kdltr run paper --cores $(CORES) -- $(SNAKEMAKE)

cpu: $(STAMP)  ## the small PARSeq for photographs, about an hour on two cores (params/cpu)
	@$(BIN)/kdltr run cpu --cores $(CORES) -- $(SNAKEMAKE)

gpu: $(STAMP)  ## teachers and students of full size on a GPU (params/gpu); MINUTES=12: a time box
	@$(BIN)/kdltr run gpu $(if $(MINUTES),--minutes $(MINUTES) --out $(OUT),--cores $(CORES) \
		-- $(SNAKEMAKE))

handwriting: $(STAMP)  ## lines of handwriting and a small DAN, about an hour
	@$(BIN)/kdltr run handwriting --cores $(CORES) -- $(SNAKEMAKE)

bench: $(STAMP)  ## speed, memory, counts, at the published sizes too: results/bench/report.html
	@$(BIN)/kdltr run bench --cores $(CORES) -- $(SNAKEMAKE)

# The notebooks are replayed in their committed order, file by file, on all cores.
test: $(STAMP)  ## ruff, imports, pytest, replay of the notebooks, consistency of the environment
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/pip check
	@set -- $(wildcard notebooks/*.ipynb); test $$# -eq 0 || { echo "replaying the notebooks"; \
		TQDM_DISABLE=1 $(BIN)/python -m pytest -q -n $(CORES) --dist loadfile --nbval \
		--nbval-current-env --nbval-cell-timeout 240 -p no:cacheprovider "$$@"; }
	$(BIN)/python -m pytest -q -n $(CORES) tests

verify: $(STAMP)  ## parity certificate: agreement with the published code under this torch
	@$(BIN)/python -c 'import platform, torch; print("torch", torch.__version__, "on", \
		platform.machine(), "· agreement with the published implementation:")'
	$(BIN)/python -m pytest -m parity -v tests

lab: $(STAMP)  ## JupyterLab on notebooks/
	$(BIN)/jupyter lab notebooks

report: $(STAMP)  ## report.html of PROFILE again, from the results there are
	@$(BIN)/kdltr report $(PROFILE)

publish: $(STAMP)  ## copy the results of PROFILE to results/reference/, which README quotes
	@$(BIN)/kdltr publish $(PROFILE)

notebooks: $(STAMP)  ## execute notebooks/ in place with their defaults, without timing metadata
	TQDM_DISABLE=1 $(BIN)/jupyter nbconvert --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False --log-level WARN $(wildcard notebooks/*.ipynb)

clean: $(STAMP)  ## remove results and generated data of PROFILE (never results/reference/)
	@$(BIN)/kdltr clean $(PROFILE)

distclean:  ## clean, and the environment and caches too
	@test ! -x $(BIN)/kdltr || $(BIN)/kdltr clean $(PROFILE)
	rm -rf $(VENV) .snakemake .pytest_cache .ruff_cache .import_linter_cache
