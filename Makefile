# entrepot. On a fresh machine with python3, pip and make: `make run`, `make test`. `make help` lists the rest.

PYTHON ?= python3
LISTEN ?= 127.0.0.1:5000
# The interpreter and folder that .venv was made for; another one (a moved tree, a new Python) is made again.
USABLE := $(CURDIR) $(realpath .venv/bin/python)
FOUND  := $(shell cat .venv/.ready 2>/dev/null)
BIN    := .venv/bin
PYTEST := $(BIN)/pytest

ifneq ($(USABLE),$(FOUND))
.PHONY: .venv/.ready
endif

.DEFAULT_GOAL := help
.PHONY: help run test check format bench conformance h2spec soak soak-hour canaries e2e e2e-go terraform helm lock setup clean

help: ## list the targets
	@sed -n 's/^\([a-z][a-z0-9-]*\):[^#]*## */\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

run: .venv/.ready ## set up, and start a node on LISTEN (127.0.0.1:5000) that anyone on this machine can push to
	@printf '%s\n' \
	  "entrepot: data in $${ENTREPOT_DATA:-./entrepot-data}, the command is $(BIN)/entrepot. Push and pull, once it is ready:" \
	  '  podman push --tls-verify=false hello:1 $(LISTEN)/hello:1     podman pull --tls-verify=false $(LISTEN)/hello:1' \
	  '  docker push $(LISTEN)/hello:1                                docker pull $(LISTEN)/hello:1' \
	  '  skopeo copy --dest-tls-verify=false docker-daemon:hello:1 docker://$(LISTEN)/hello:1'
	@exec $(BIN)/entrepot serve --no-hints --listen $(LISTEN)

test: setup ## set up (as root also the Debian packages of clients and servers), then check, then every test
	@$(MAKE) --no-print-directory check
	$(PYTEST)

check: .venv/.ready ## format, lint, strict types, import contracts: seconds
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.ready ## format, and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

e2e: setup ## only the end-to-end tests: real clients against real daemons
	$(PYTEST) tests/e2e

e2e-go: setup ## crane, oras, regctl and the credential helper of ECR, built with Go into build/go (needs Go)
	GOBIN=$(CURDIR)/build/go go install github.com/google/go-containerregistry/cmd/crane@v0.22.1
	GOBIN=$(CURDIR)/build/go go install oras.land/oras/cmd/oras@v1.3.6
	GOBIN=$(CURDIR)/build/go go install github.com/regclient/regclient/cmd/regctl@v0.11.7
	GOBIN=$(CURDIR)/build/go go install github.com/awslabs/amazon-ecr-credential-helper/ecr-login/cli/docker-credential-ecr-login@v0.12.0
	PATH=$(CURDIR)/build/go:$$PATH $(PYTEST) -m go tests/e2e --ignore tests/e2e/terraform

terraform: setup ## Terraform, with the provider for AWS built into build/terraform (needs Go and terraform)
	$(BIN)/python -m tests.e2e.terraform.provider build/terraform
	$(PYTEST) -m go tests/e2e/terraform

helm: setup ## lint and render the Helm chart, with a helm built into build/go (needs Go)
	GOBIN=$(CURDIR)/build/go go install helm.sh/helm/v3/cmd/helm@v3.22.0
	PATH=$(CURDIR)/build/go:$$PATH $(PYTEST) -m go tests/deploy

soak: setup ## the long tier, hours: faults at every system call, kill -9, power cuts, flipped bits, mixed load
	$(PYTEST) -m soak

soak-hour: setup ## an hour of mixed load with faults, on two nodes; its figures go to build/soak.json
	E2E_SOAK_MINUTES=60 $(PYTEST) -s -m soak tests/e2e/test_soak.py

canaries: setup ## break twelve promises, each in a copy of the tree, and require that the tests notice
	$(BIN)/python -m tests.canaries.run

bench: setup ## measure beside docker-registry and nginx, write bench/results.md
	$(BIN)/python -m bench.run

conformance: .venv/.ready ## the OCI conformance suite, profiles 1.0, 1.1 and dev (needs Go)
	$(BIN)/python -m tests.e2e.conformance
	$(BIN)/python -m tests.e2e.conformance --public

h2spec: .venv/.ready ## h2spec, strict, plain and with TLS (needs Go)
	GOBIN=$(CURDIR)/build/go go install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible
	$(BIN)/python -m tests.e2e.h2spec build/go/h2spec

lock: .venv/.ready ## write requirements.lock anew, with the newest versions that pyproject.toml allows
	deploy/setup/lock.sh

setup: .venv/.ready .venv/.packages build/aws-cli/.ready ## only set up
	@:

clean: ## remove what the targets above made, but no data
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

.venv/.ready: pyproject.toml requirements.lock deploy/setup/environment.py
	@echo 'setting up .venv ...'
	@$(PYTHON) deploy/setup/environment.py

.venv/.packages: deploy/setup/packages.txt deploy/setup/packages.sh | .venv/.ready
	@deploy/setup/packages.sh
	@touch $@

build/aws-cli/.ready: deploy/setup/aws-cli.lock | .venv/.ready
	@rm -rf build/aws-cli
	@$(BIN)/python -m pip install --quiet --require-hashes --target build/aws-cli -r $<
	@touch $@
