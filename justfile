# Common tasks. `just` lists them.

default:
    @just --list

# Serve the default board on http://127.0.0.1:8080
serve:
    cargo run --release

# Serve the demo with made-up prices; needs no network
demo:
    cargo run --release -- demo

# Check format and lints, and run the fast tests; needs Rust and a C compiler
quick:
    scripts/quick

# Install what the tests need, and run all tests
test:
    scripts/test

# Run all checks that a change must pass
check:
    .ci/run

# Format everything
fmt:
    cargo fmt --all
