//! Generates `src/generated/` from the contract: `cargo run -p lockstitch-codegen [-- --check]`.
//!
//! `--check` writes nothing, and fails where the committed code is not what the contract gives.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

const FILES: [&str; 4] = ["checkpoint", "checkpoint_service", "session_service", "error"];
const OUTPUT: &str = "lockstitch.v1.rs";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // Told by cargo at every run: checkouts share what cargo builds, so this program may be that of another one.
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("this is run by `cargo run`")?);
    let crate_root = package.parent().ok_or("no parent")?;
    let committed = crate_root.join("src/generated").join(OUTPUT);
    let generated = generate(&crate_root.join("../../proto"))?;
    if !env::args().any(|argument| argument == "--check") {
        fs::write(committed, generated)?;
    } else if fs::read_to_string(committed)? != generated {
        eprintln!("client/rust/src/generated differs from proto/. Run `make generate` and commit the result.");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The code for all of the contract's files, which are one package.
fn generate(proto: &Path) -> Result<String, Box<dyn Error>> {
    let files = FILES.map(|name| proto.join(format!("lockstitch/v1/{name}.proto")));
    let descriptors = protox::compile(files, [proto])?;
    let scratch = env::temp_dir().join(format!("lockstitch-codegen-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let mut config = prost_build::Config::new();
    config
        .btree_map(["."]) // the same message has the same bytes, whoever writes it
        .bytes(["."]) // cheap to clone
        .enum_attribute(".lockstitch.v1.ErrorReason", "#[non_exhaustive]");
    let built = tonic_prost_build::configure()
        .build_server(false)
        .out_dir(&scratch)
        .compile_fds_with_config(descriptors, config);
    let text = fs::read_to_string(scratch.join(OUTPUT));
    fs::remove_dir_all(&scratch)?;
    built?;
    Ok(text?)
}
