//! Passes the version to the program, with the commit of the build if known.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let version = env!("CARGO_PKG_VERSION");
    match commit() {
        Some(commit) => {
            println!("cargo:rustc-env=BUILT_VERSION={version} ({commit})");
            println!("cargo:rustc-env=BUILT_COMMIT={commit}");
        }
        None => {
            println!("cargo:rustc-env=BUILT_VERSION={version}");
            println!("cargo:rustc-env=BUILT_COMMIT=unknown");
        }
    }
}

/// Returns the commit, only for release builds: development builds would have to be rebuilt after every commit.
fn commit() -> Option<String> {
    std::env::var("PROFILE").ok().filter(|profile| profile == "release")?;
    // If the sources were unpacked inside another repository, its commits are not ours.
    git(&["rev-parse", "--show-prefix"]).filter(String::is_empty)?;
    println!("cargo:rerun-if-changed={}", git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    git(&["rev-parse", "--short=10", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}
