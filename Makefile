# The one vocabulary of commands, for people, for commits and for CI. `make help` lists it.

PYTHON_RUN = .venv/bin/python
DOCS ?= docs
HOST ?= 127.0.0.1
PORT ?= 8000
ARGS ?=
FACTS = --rag-facts .ragstream-facts.json
# A data folder for each DOCS, so that answers never mix them; your own RAGSTREAM_DATA_DIR wins.
DATA = $(if $(RAGSTREAM_DATA_DIR),,--data-dir ".ragstream/$(subst /,-,$(DOCS))")

# Of our own documentation what is written for people: the step pages are a report, generated for the audit.
SERVED = $(if $(filter docs,$(DOCS)),docs/README.md $(addprefix docs/,tutorial how-to reference explanation),$(DOCS))

ifeq ($(DOCS),docs)
serve: export RAGSTREAM_SAMPLE_QUESTIONS ?= ["How do I stop an answer?", \
	"What happens when the server dies in the middle of an answer?", "How do I use my own documents?"]
endif

# A newcomer's terminal stays readable; `info` tells of every step.
serve: export RAGSTREAM_LOG_LEVEL ?= warning

.PHONY: help setup serve test check bench bench-full docs trial interop peers lock

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1	/p' Makefile | expand -t 12

setup: ## make .venv, or bring it up to date
	@PYTHON="$(PYTHON)" scripts/setup

serve: setup ## answer questions on this machine's port 8000; DOCS=folder, HOST=address, PORT=number
	@exec $(PYTHON_RUN) -m ragstream serve $(SERVED) --host $(HOST) --port $(PORT) $(DATA)

test: setup ## run the tests; ARGS="tests/unit -x" for some of them
	@$(PYTHON_RUN) -m pytest $(FACTS) $(ARGS)

check: setup ## lint, formatting, types, layers, and the rules of the house
	@$(PYTHON_RUN) -m ruff check
	@$(PYTHON_RUN) -m ruff format --check
	@$(PYTHON_RUN) -m mypy
	@.venv/bin/lint-imports
	@for log in memory sqlite; do $(PYTHON_RUN) benchmarks/hotpath.py --log $$log --check; done
	@$(PYTHON_RUN) -m ragstream audit --check
	@$(PYTHON_RUN) -m pytest -q tests/architecture

bench: setup peers interop ## stand Ragstream beside what one would use instead, under ten minutes; ARGS="--only relay,memory"
	@$(PYTHON_RUN) benchmarks/compare.py $(ARGS)

bench-full: bench ## run the other benchmarks too; FOLDER=judged questions adds those of retrieval
	@$(PYTHON_RUN) benchmarks/full.py $(if $(FOLDER),"$(FOLDER)")

docs: setup ## write anew what the documentation quotes from the program, and check the documentation
	@$(PYTHON_RUN) scripts/docs.py
	@$(PYTHON_RUN) -m ragstream.settings.page
	@$(PYTHON_RUN) scripts/draw_grammar.py >docs/architecture/grammar.md
	@$(PYTHON_RUN) scripts/list_metrics.py >docs/reference/metrics.md
	@$(PYTHON_RUN) -m pytest -q tests/architecture/test_docs.py

trial: setup ## break everything, again and again; two hours, or ARGS="-k T01"; see docs/explanation/reliability.md
	@$(PYTHON_RUN) -m pytest $(FACTS) -m "trial or nightly" $(ARGS)

interop: setup ## install the clients and servers of others that some tests talk to, apart from .venv
	@cmp -s requirements-interop.lock .venv-interop/.made-from || { $(PYTHON_RUN) -m venv --clear .venv-interop && \
		.venv-interop/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--require-hashes --only-binary :all: -r requirements-interop.lock && \
		cp requirements-interop.lock .venv-interop/.made-from; }
	@cmp -s tests/interop/package-lock.json tests/interop/node_modules/.made-from || { \
		npm ci --prefix tests/interop --silent && \
		cp tests/interop/package-lock.json tests/interop/node_modules/.made-from; }

peers: setup ## install what the benchmarks stand Ragstream beside, apart from .venv
	@cmp -s requirements-peers.lock .venv-peers/.made-from || { $(PYTHON_RUN) -m venv --clear .venv-peers && \
		.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--require-hashes --only-binary :all: -r requirements-peers.lock && \
		cp requirements-peers.lock .venv-peers/.made-from; }

lock: ## resolve the locks anew (needs uv and npm)
	uv pip compile --quiet --universal --upgrade --generate-hashes --no-emit-index-url --group dev \
		--custom-compile-command 'make lock' pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --upgrade --generate-hashes --no-emit-index-url \
		--group interop --custom-compile-command 'make lock' -o requirements-interop.lock
	uv pip compile --quiet --universal --upgrade --generate-hashes --no-emit-index-url -c requirements.lock \
		--group peers --custom-compile-command 'make lock' -o requirements-peers.lock
	npm install --prefix tests/interop --package-lock-only --silent
	@! grep -nE '://|^-' requirements.lock requirements-interop.lock requirements-peers.lock
