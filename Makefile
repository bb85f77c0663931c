VENV   := .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
LUA_TOOLS := node_modules/.ready
WORKERS ?= 2
PYTEST := $(BIN)/pytest -q --numprocesses $(WORKERS) --dist loadfile
LUA    := llmspell bridges spells docs/examples tests/spells

.DEFAULT_GOAL := help
.PHONY: help run test check format bench bench-peers fuzz lua-suite stress clean

help:  ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY)  ## Run the shipped spell "hello" on the embedded model: no key, no server
	@$(BIN)/llmspell run hello --model local/smollm2

test: $(READY)  ## Run the whole test suite
	@$(PYTEST) $(ARGS)

check: $(READY) $(LUA_TOOLS)  ## Everything that must hold: format, lint, types, tests, docs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@node scripts/format-lua.mjs --check $(LUA)
	@luacheck -q --no-color $(LUA)
	@$(PYTEST) --cov $(ARGS)

format: $(READY) $(LUA_TOOLS)  ## Format everything
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@node scripts/format-lua.mjs $(LUA)

bench: $(READY)  ## Measure speed against a baseline taken in the same run
	@$(BIN)/python -m benchmarks

bench-peers: $(READY) .venv-peers/.ready  ## Measure calls beside other libraries, in an environment of their own
	@$(BIN)/python -m benchmarks.peers

fuzz: $(READY)  ## Attack the sandbox with programs made up at random: SECONDS=300 RING=1
	@$(BIN)/python tests/lua/fuzz_library.py 20000
	@$(BIN)/python tests/lua/fuzz_unwinding.py 2000
	@$(BIN)/python tests/hostile/fuzz.py --seconds $(or $(SECONDS),300) --ring $(or $(RING),1)

lua-suite: $(READY)  ## Run Lua's own test suite as spells
	@$(BIN)/python tests/lua/official_suite.py

stress: $(READY)  ## Kill processes at random moments, that keep state or record runs: KILLS=300
	@LLMSPELL_KILLS=$(or $(KILLS),300) $(BIN)/pytest -q --timeout 0 -k "survives_a_kill or any_moment" tests/state tests/journal
	@LLMSPELL_PROGRAMS=$(or $(KILLS),300) $(BIN)/pytest -q --timeout 0 tests/journal/test_any_program.py

clean:  ## Remove what the targets above made
	rm -rf $(VENV) .venv-peers node_modules build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing llmspell and its tools into $(VENV) …" >&2
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[local,embeddings,dev]'
	@touch $@

.venv-peers/.ready: benchmarks/peers/requirements.txt
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@echo "installing other libraries into .venv-peers …" >&2
	@.venv-peers/bin/python -m pip install -qq --disable-pip-version-check -r $<
	@touch $@

$(LUA_TOOLS): package.json
	@command -v luacheck >/dev/null || { echo "install luacheck: apt-get install lua-check" >&2; exit 1; }
	@npm install --silent --no-fund --no-audit --no-package-lock
	@touch $@
