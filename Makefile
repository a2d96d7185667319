# One line a target. CLUSTER=existing works on the cluster of the current kubeconfig instead of the local one.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export CLUSTER REGISTRY VERSION
# Everything is compiled as the images are, so that nothing is compiled twice: from nothing, that saves minutes.
export CGO_ENABLED := 0
export GOFLAGS := $(strip $(shell go env GOFLAGS) -trimpath -buildvcs=false -gcflags=all=-dwarf=false)

TOOL      := go tool -modfile=hack/tools/go.mod
LINT      := $(TOOL) golangci-lint-kube-api-linter
FILES      = git ls-files --cached --others --exclude-standard --deduplicate
MODULES    = $$($(FILES) '*go.mod' | xargs -n1 dirname)
# Packages below test/ work on the cluster, one after the other; all others run side by side. Tests that take long or need a
# cluster leave themselves out of test-unit (-short), and of nothing else.
ON_CLUSTER = $$(go list ./test/... | grep -v '/test/fixtures')
BESIDE     = $$(go list ./... | grep -v '/test/' ; go list ./test/fixtures/...)
SAY        = @printf '\033[1m==> %s\033[0m\n'

##@ See it work

.PHONY: help demo
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)
demo: ## Run a Session from a bare machine to its end; with ANTHROPIC_API_KEY set it costs money, else the provider is scripted
	go run ./hack/demo

##@ Local cluster

.PHONY: up down images load
up: ## Start a real Kubernetes on this machine
	go run ./hack/cluster up
down: ## Stop it; what was built stays
	go run ./hack/cluster down
images: ## Build the images
	go run ./hack/images build
load: up ## Build the images and load them into the cluster
	go run ./hack/images load

##@ Develop

.PHONY: generate fmt lint
generate: ## Write deep copies, apply configurations, CRDs and roles
	go run ./hack/generate
fmt: ## Format the code
	$(LINT) fmt
lint: ## Lint the code
	$(SAY) "lint (the first run builds the linter, which takes minutes)"
	$(LINT) run

##@ Prove

.PHONY: verify verify-generated verify-format verify-modules verify-manifests test test-unit test-cluster bench bench-gateway
verify: verify-generated verify-format verify-modules verify-manifests lint ## Fail when generated files, format, modules, manifests or lint are off; changes nothing
verify-generated:
	$(SAY) "generated files"
	go run ./hack/generate -check
verify-format:
	$(SAY) "format"
	@unformatted=$$($(FILES) '*.go' | xargs gofmt -l) && [ -z "$$unformatted" ] || { echo "not formatted, run \`make fmt\`:"; echo "$$unformatted"; exit 1; }
verify-modules:
	$(SAY) "modules"
	@for module in $(MODULES); do go -C $$module mod tidy -diff || { echo "$$module: not tidy, run \`go -C $$module mod tidy\`"; exit 1; }; done
verify-manifests:
	$(SAY) "manifests"
	go test ./hack/install -run TestEveryKustomizationBuilds
test: load ## Run every test, on the cluster, which it starts
	$(SAY) "tests beside the cluster"
	go test -timeout 40m $(BESIDE)
	@$(MAKE) test-cluster
test-unit: ## Run the quick tests, which need no cluster
	$(SAY) "unit tests"
	go test -short -timeout 20m ./...
test-cluster: load ## Run the tests that work on the cluster
	$(SAY) "tests on the cluster, one package after the other"
	go test -count=1 -v -p 1 -timeout 60m $(ON_CLUSTER)
bench: up ## Measure how many Sessions start in a second, on fake nodes
	go run ./hack/bench
bench-gateway: ## Measure what the gateway adds to requests, beside a bare proxy; needs no cluster
	go run ./hack/bench/gateway

##@ Install on an existing cluster

.PHONY: dist install
dist: ## Render dist/install.yaml and dist/defaults.yaml
	go run ./hack/dist
install: ## Build, push to REGISTRY, apply and wait; says first what the cluster lacks
	CLUSTER=existing go run ./hack/dist install
