//! Finds the files of the calling rules, so that adding a place is adding a file.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs, io};

const FOLDER: &str = "data/calling-rules";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={FOLDER}");
    let manifest = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let mut files: Vec<_> = fs::read_dir(Path::new(&manifest).join(FOLDER))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|e| e == "json"));
    files.sort();
    let mut code = String::from("[\n");
    for file in &files {
        let name = file.file_stem().expect("it has an extension").to_string_lossy();
        println!("cargo::rerun-if-changed={}", file.display());
        writeln!(code, "    ({name:?}, include_str!({file:?})),").map_err(io::Error::other)?;
    }
    code.push_str("]\n");
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("calling_rules.rs"), code)
}
