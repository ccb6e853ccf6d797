//! Compiles `v1/*.proto` to Rust and to a descriptor set, without an installed `protoc`.

use std::error::Error;
use std::path::PathBuf;

use protox::prost::Message;

const FILES: [&str; 5] = [
    "v1/common.proto",
    "v1/write.proto",
    "v1/query.proto",
    "v1/admin.proto",
    "v1/replication.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("chronolith_descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // These are handed on as they are; copies of them would be the larger part of the work.
        .bytes(".chronolith.v1.QueryReply.arrow_ipc")
        .bytes(".chronolith.v1.ArrowRows.ipc")
        .compile_fds(descriptors)?;
    Ok(())
}
