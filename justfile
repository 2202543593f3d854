# One-word tasks. `just` lists them.

default:
    @just --list

# Serve the reference board on http://127.0.0.1:8080
serve:
    cargo run --release

# The same on invented prices, without a network
demo:
    cargo run --release -- demo

# Every test, with what they need installed first
test:
    scripts/test

# All that must hold before a change lands
check:
    .ci/run

# Format everything
fmt:
    cargo fmt
