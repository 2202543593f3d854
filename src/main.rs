//! Entry point of the `sisepan` program; all code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    sisepan::cli::main()
}
