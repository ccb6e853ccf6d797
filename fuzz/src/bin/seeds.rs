//! Writes the first inputs of each target into a folder, `corpus` by default: one folder a target.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a tool for this folder alone")]

fn main() {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
    let to = std::env::args().nth(1).unwrap_or_else(|| here.to_owned());
    let seeds = chronolith_fuzz::seeds::all();
    for (target, name, bytes) in &seeds {
        let folder = std::path::Path::new(&to).join(target);
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        std::fs::write(folder.join(name), bytes).expect("a file can be written");
    }
    println!("{} inputs in {to}", seeds.len());
}
