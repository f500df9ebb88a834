# make run: try it.   make test: everything this machine can run.   make lint: every check.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: run web react wheel test lint lag bench fuzz soak faults screenshots

run: web
	@$(BIN)/notify-server demo

# the pages that the demo serves; does nothing where they are built from what web/ holds now
web: $(STAMP)
	@$(BIN)/python -m web.build

# web/dist/, the package notify-server-react
react: $(STAMP)
	$(BIN)/python -m web.node run --silent package

# dist/, pages included
wheel: web
	$(BIN)/python -m build --outdir dist

test: web
	$(BIN)/python -m web.node test
	$(BIN)/python -m tests.node
	$(BIN)/pytest
ifdef CI
	$(BIN)/pytest --postgres=15 -m "database and not browser"
	$(BIN)/pytest --postgres=pgbouncer -m "through_the_pool and not browser"
endif

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m web.node run check

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,dev]'
	@touch $(STAMP)

# the README's pictures, in docs/; needs Chromium, and looks best with the font Inter
screenshots: $(STAMP)
	$(BIN)/python -m tests.browser.screenshots docs

# 1,000 foreign comments a second for ten minutes, beside a transaction left open
lag: $(STAMP)
	$(BIN)/python -m benchmarks.lag

# beside an Express + Socket.IO server: comments, deliveries, sockets, the inbox at size; into benchmarks/results
bench: $(STAMP)
	$(BIN)/python -m benchmarks

# 10,000 hostile clients and as many streams of frames: about eight minutes
fuzz: $(STAMP)
	$(BIN)/pytest tests/transport/test_fuzz.py tests/transport/test_fuzz_frames.py --fuzz-cases 10000 --show-capture=no

# good and hostile clients for ten minutes, after which tasks, files, sessions and memory must be as before
soak: $(STAMP)
	$(BIN)/python -m benchmarks.soak --minutes 10 --seed 1

# 500 faults of every kind under traffic, and what they broke: about 20 minutes
faults: $(STAMP)
	$(BIN)/python -m tests.faults --faults 500 --seed 1 --results benchmarks/results/faults.md
