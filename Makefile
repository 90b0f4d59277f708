# Every command a person types. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help run model test crash-test chaos check lint fmt docs deny bench bench-cluster

help:      ## This list
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' $(MAKEFILE_LIST)

run: model ## Set everything up and start bromo dev
	cargo build --release --locked -p bromo
	exec $${CARGO_TARGET_DIR:-target}/release/bromo dev

model:     ## Fetch the embedded model's weights, once
	@scripts/require cargo cc python3 sha256sum
	@scripts/fetch-model bromo-data/models

test:      ## Install what the tests need, and run everything
	scripts/test

crash-test: ## kill -9 at random moments, ROUNDS times with SEED, and check what was recorded
	cargo test --locked -p bromo --no-default-features --test crash -- --rounds $(or $(ROUNDS),60) --seed $(or $(SEED),1)

chaos:     ## Three nodes and everything that goes wrong, for LENGTH seconds with SEED, and check what was recorded
	@scripts/require cargo cc
	@scripts/install-servers
	cargo test --locked -p bromo --no-default-features --test chaos -- --seconds $(or $(LENGTH),120) --seed $(or $(SEED),1)

check:     ## Type-check everything
	cargo check --locked --workspace --all-targets

lint:      ## Warnings are errors
	cargo clippy --locked --workspace --all-targets -- -D warnings

fmt:       ## Format; `make fmt CHECK=--check` only looks
	cargo fmt --all $(CHECK)

docs:      ## Build the code's documentation; warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

deny:      ## Licences, sources, banned and doubled crates
	scripts/deny

bench-cluster: ## Measure over PostgreSQL and Redis, beside other queues
	scripts/bench-cluster

bench:     ## Measure, beside nginx and by itself
	cargo bench --locked -p bromo-admission
	scripts/bench
