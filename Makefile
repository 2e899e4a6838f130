# Kinward. Two commands to begin with: make run, make test.
# Needs Go and make; what the tests need beyond that, .ci/install-tools installs.

GO      ?= go
VERSION ?= $(shell git describe --tags --match 'v*' 2>/dev/null)
LDFLAGS  = -s -w -X main.release=$(VERSION:v%=%)
FUZZTIME ?= 30s

# Tools of the checks, kept out of go.mod so that nothing of them is shipped.
GOFUMPT     = $(GO) run mvdan.cc/gofumpt@v0.12.0
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: run build test check unit fuzz bench bench-families bench-growth bench-peers bench-console perf soak cover screenshots docs tools clean

run: build ## Build and start on loopback; prints what to do next
	@bin/kinward serve

build: ## Build bin/kinward: one static file
	@command -v $(firstword $(GO)) >/dev/null || { echo 'There is no Go in PATH. It is at https://go.dev/dl/; one that is elsewhere: make GO=/usr/local/go/bin/go' >&2; exit 1; }
	@test -e bin/kinward || echo 'Building bin/kinward. The first time, Go fetches modules, then compiles for some minutes and says nothing meanwhile.' >&2
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/kinward ./cmd/kinward

test: tools check unit ## Everything that must hold

check: ## Form and static analysis
	@$(GO) mod verify >/dev/null && $(GO) mod tidy -diff
	@bad="$$($(GOFUMPT) -l . )"; test -z "$$bad" || { echo "not gofumpt-ed:"; echo "$$bad"; exit 1; }
	$(GO) vet ./...
	$(STATICCHECK) ./...

unit: ## Tests, with the race detector, in random order; fuzz seeds included
	$(GO) test -race -shuffle=on -timeout 40m ./...
	$(GO) test -run 'DoesNotAllocate|DoNotAllocate|Allocs|Allocations|Memory$$' ./...
	ONE_PACKET_A_CALL=1 $(GO) test -shuffle=on ./resolver

fuzz: ## Fuzz every parser for FUZZTIME each
	@set -e; for f in $$(grep -rl '^func Fuzz' --include='*_test.go' .); do \
	  for t in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' $$f); do \
	    echo "$$t in $$(dirname $$f)"; \
	    $(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) $$(dirname $$f); \
	  done; done

bench: ## Benchmarks; LIST=FILE POPULAR=FILE measures the index on a real list
ifdef LIST
	LIST="$(abspath $(LIST))" POPULAR="$(abspath $(POPULAR))" $(GO) test -run "^$$" -bench "^BenchmarkList$$" -count $(or $(COUNT),1) ./blocklists
else
	$(GO) test -run "^$$" -bench . -skip Growth -benchmem -count $(or $(COUNT),6) ./blocklists ./policy ./journal ./resolver
endif

bench-families: ## The directory with a million families; FAMILIES=N for another number
	FAMILIES=$(or $(FAMILIES),1000000) $(GO) test -run "^$$" -bench "^BenchmarkFamilies$$" -count $(or $(COUNT),3) -timeout 30m ./policy

perf: tools build ## The whole program: CPU a query under dnsperf on loopback, time to the first answer; LIST=FILE with a real list, too
	$(if $(LIST),LIST="$(abspath $(LIST))") $(GO) test -tags perf -count=1 -v -run '^TestPerf(Console|Secure|Start|Transports|)$$' ./cmd/kinward

bench-growth: ## What a question costs as names, families, rules, devices, answers and clients grow
	$(GO) test -run "^$$" -bench "^BenchmarkGrowth$$" -timeout 60m -count $(or $(COUNT),3) ./resolver

bench-peers: tools build ## CPU a question beside an answerer in C and Debian's resolvers, in one run; NAMES=N FAMILIES=N COUNT=N SECONDS=N, ALONE=1 without the resolvers
	$(GO) test -tags perf -count=1 -v -timeout 60m -run '^TestPerfPeers$$' ./cmd/kinward

bench-console: ## How long the server takes for each page of the console, with a year of incidents
	$(GO) test -tags perf -count=1 -v -run '^TestConsoleYear$$' ./cmd/kinward

soak: ## The whole program under mixed load for ten minutes, or SOAK=30m, with kill -9, clocks that are set and an upstream that fails; SEED=N repeats one, SOAKRACE=1 looks for races
	SOAK=$(or $(SOAK),10m) $(GO) test -count=1 -v -timeout 26h -run '^TestProgramSoak$$' ./cmd/kinward

cover: ## Coverage of all packages by all tests
	$(GO) test -coverpkg=./... -coverprofile=coverage.out ./...
	$(GO) tool cover -func=coverage.out | tail -1

screenshots: tools ## What each page of the console looks like, on phone and desktop, light and dark, in two languages, into docs/screenshots or SCREENSHOTS=FOLDER
	SCREENSHOTS="$(abspath $(or $(SCREENSHOTS),docs/screenshots))" $(GO) test -tags screenshots -count=1 -v -timeout 40m -run '^TestScreenshots$$' ./cmd/kinward

docs: ## Write the documents that are made of the program anew: docs/configuration.md, docs/api.md, docs/licences.md, docs/man
	$(GO) test -count=1 -run '^Test(ConfigurationReference|APIReference|Licences|ManPages)$$' ./cmd/kinward -update-docs

tools: ## Install what the tests need, where it is absent
	@.ci/install-tools

clean:
	rm -rf bin coverage.out
