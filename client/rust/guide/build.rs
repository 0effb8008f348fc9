//! Makes one block of all the snippets of the guide, with the server's address as an argument.

use std::{env, error::Error, fs, path::Path};

const GUIDE: &str = "../../../docs/clients/rust.md";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={GUIDE}");
    let mut block = String::from("{\n");
    let mut inside = false;
    for line in fs::read_to_string(GUIDE)?.lines() {
        match line {
            "```rust" => inside = true,
            "```" => inside = false,
            _ if inside => block += &(line.replace("\"127.0.0.1:50051\"", "target.as_str()") + "\n"),
            _ => {}
        }
    }
    block += "}\n";
    Ok(fs::write(Path::new(&env::var("OUT_DIR")?).join("guide.rs"), block)?)
}
