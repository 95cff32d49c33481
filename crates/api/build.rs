//! Compiles the interface description, without `protoc`.

use std::error::Error;
use std::path::PathBuf;

/// The description, in files of one subject each.
const FILES: &[&str] = &["proto/peerage/v1/service.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    // Comments are part of it: the documentation and the description of HTTP are made of them.
    compiler.include_source_info(true).include_imports(true);
    let files = compiler.open_files(FILES)?.file_descriptor_set();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        out.join("peerage.v1.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .build_client(cfg!(feature = "client"))
        .build_transport(false)
        .bytes(".")
        .compile_fds_with_config(files, config)?;
    Ok(())
}
