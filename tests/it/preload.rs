//! Libraries that are preloaded (`LD_PRELOAD`) before the C library, to inject faults that a real system may have.

use std::path::Path;
use std::process::Command;

/// Compiles the C file `source` of this folder into the library `to`.
pub fn compile(source: &str, to: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(source);
    let mut compiler = Command::new("cc");
    compiler.args(["-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-o"]).arg(to).arg(source).arg("-ldl");
    let made = compiler.output().expect("this test needs a C compiler (cc), which Rust needs for linking as well");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
