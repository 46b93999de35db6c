# Each command sets itself up: nothing has to be installed by hand.
# `make` alone says what there is.

PYTHON ?= /usr/bin/python3
export PYTHON

# What make would take for its own and hand on to nobody: make deploy site=flasky --check, or -e ocf_flask_python=3.12.
given := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
lost := $(filter-out site ARGS cmd packages release archive lines points PYTHON,$(filter-out -%,$(given)))
lost += $(foreach flag,L e,$(findstring $(flag),$(firstword -$(MAKEFLAGS))))
ifneq ($(strip $(lost)),)
$(error This goes to make and not to the playbook. Put it into ARGS, as in: make deploy site=flasky ARGS='--check -e ocf_flask_python=3.12')
endif
# A variable that is for one verb alone.
alone = $(if $(and $(filter $(1),$(given)),$(filter-out $(2),$(MAKECMDGOALS))),$(error $(1)= is for: make $(2)))
$(call alone,packages,upgrade)$(call alone,cmd,run)$(call alone,release,rollback)$(call alone,archive,restore)
$(call alone,lines,logs)$(call alone,points,faults)

# As it was typed: make would take $HOME in it for $H and OME.
override cmd := $(value cmd)
export cmd

.PHONY: help deploy upgrade run rollback remove restore status logs test lint sanity coverage fuzz faults release demo demo-stop benchmark benchmark-serve benchmark-reload benchmark-bulk readme clean

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

deploy: ## Deploy a site of yours on this machine: make deploy site=flasky [ARGS='-e ...']
	@tools/venv .venv requirements.txt
	@tools/play deploy '$(site)' $(ARGS)

upgrade: ## Take newer packages for a site of yours: make upgrade site=flasky [packages=werkzeug,jinja2]
	@tools/venv .venv requirements.txt
	@tools/play upgrade '$(site)' $(if $(packages),-e 'packages=$(packages)') $(ARGS)

run: ## Run a command in a site's live release: make run site=flasky cmd='flask routes'
	@tools/venv .venv requirements.txt
	@tools/play run '$(site)' $(ARGS)

rollback: ## Go back to an earlier release of a site of yours: make rollback site=flasky [release=ID]
	@tools/venv .venv requirements.txt
	@tools/play rollback '$(site)' $(if $(release),-e 'release=$(release)') $(ARGS)

remove: ## Take a site of yours out of service, and into an archive: make remove site=flasky
	@tools/venv .venv requirements.txt
	@tools/play remove '$(site)' $(ARGS)

restore: ## Bring back a site of yours that was removed: make restore site=flasky [archive=NAME-DATE]
	@tools/venv .venv requirements.txt
	@tools/play restore '$(site)' $(if $(archive),-e 'archive=$(archive)') $(ARGS)

status: ## Say what a site of yours is, and make a test request: make status site=flasky
	@tools/venv .venv requirements.txt
	@tools/play status '$(site)' $(ARGS)

logs: ## Show the end of a site's log: make logs site=flasky [lines=200]
	@tools/venv .venv requirements.txt
	@tools/play logs '$(site)' $(if $(lines),-e 'lines=$(lines)') $(ARGS)

test: ## Run every test (Docker is installed and started where that is possible)
	@tools/venv .venv requirements.txt
	@tools/venv .venv-test requirements-test.txt
	@.venv-test/bin/python tools/test

lint: ## Run the linters and the type checker alone
	@tools/venv .venv-test requirements-test.txt
	@.venv-test/bin/python tools/test lint

sanity: ## Run ansible-test's sanity tests on the built collection
	@tools/venv .venv-test requirements-test.txt
	@tools/sanity $(ARGS)

coverage: ## Measure which lines and branches of the engine, the modules and the runtime the unit tests reach
	@tools/venv .venv-test requirements-test.txt
	@rm -rf build/coverage && mkdir -p -m 777 build/coverage
	@PATH=$(CURDIR)/.venv-test/bin:$$PATH coverage run -m pytest tests/unit --numprocesses=auto --dist=loadfile \
		-k 'not (test_a_fault_leaves and (SIGINT or SIGTERM))' # which would hit coverage's own work in a fork
	@.venv-test/bin/coverage combine --quiet && .venv-test/bin/coverage report

fuzz: ## Send the runtime a million malformed requests: make fuzz [ARGS=LIBFUZZER OPTIONS]
	@tools/venv .venv-fuzz requirements-fuzz.txt
	@PYTHONPATH=tests/unit:plugins/module_utils:roles/ocf_flask/files .venv-fuzz/bin/python tests/fuzz_runtime.py $(ARGS)

release: ## Build the collection's archive, install it into an empty place and deploy with it
	@tools/venv .venv requirements.txt
	@PYTHON=$(CURDIR)/.venv/bin/python molecule/image/wheels
	@.venv/bin/python tools/release -e ocf_flask_wheels=$(CURDIR)/build/wheels $(ARGS)

faults: ## Let something go wrong at every point of every verb, for hours, or at some: make faults [points=10]
	@tools/venv .venv-test requirements-test.txt
	@OCF_FLASK_FAULTS=$(or $(points),all) .venv-test/bin/pytest tests/unit/test_faults.py --numprocesses=auto --dist=worksteal

demo: ## Show a site in a real Apache, in a container, at a local URL
	@tools/venv .venv-test requirements-test.txt
	@tools/demo

demo-stop: ## Remove the demo's container
	@tools/demo stop

benchmark: ## Measure what docs claim about speed and disk use
	@tools/venv .venv requirements.txt
	@PYTHON=.venv/bin/python molecule/image/wheels
	@.venv/bin/python benchmarks/deploy --check $(ARGS)

benchmark-serve: ## Measure how fast a site answers and how much memory it takes, in a container
	@tools/venv .venv-test requirements-test.txt
	@.venv-test/bin/python benchmarks/serve --check $(ARGS)

benchmark-reload: ## Count what visitors lose during deploys under load (in a container; 10 minutes)
	@tools/venv .venv-test requirements-test.txt
	@.venv-test/bin/python benchmarks/reload $(ARGS)

benchmark-bulk: ## Measure how long hundreds of owners' sites take (in a container; 15 minutes)
	@tools/venv .venv-test requirements-test.txt
	@.venv-test/bin/python benchmarks/bulk --check $(ARGS)

readme: ## Write the README's table of settings, and AWX's survey, from the role's argument spec
	@tools/venv .venv-test requirements-test.txt
	@.venv-test/bin/python tools/readme
	@.venv-test/bin/python tools/survey

clean: ## Remove what make made, the containers included
	@-tools/demo stop
	rm -rf .venv .venv-test .venv-fuzz build .mypy_cache .pytest_cache .ruff_cache .hypothesis .ansible
