//! Turns `schema/` into the module `messages`.
#![forbid(unsafe_code)]

#[path = "generator/notation.rs"]
mod notation;
#[path = "generator/program.rs"]
mod program;
#[path = "generator/render.rs"]
mod render;

use std::path::{Path, PathBuf};
use std::{env, fs};

use notation::Schema;

fn main() {
    println!("cargo::rerun-if-changed=schema");
    println!("cargo::rerun-if-changed=generator");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the output directory"));
    match generated() {
        Ok(code) => fs::write(out.join("messages.rs"), code).expect("the output directory can be written"),
        Err(what) => panic!("{what}"),
    }
}

fn generated() -> Result<String, String> {
    let (mut apis, headers): (Vec<_>, Vec<_>) =
        schemas(Path::new("schema"))?.into_iter().partition(|schema| schema.api.is_some());
    apis.sort_by_key(|schema| schema.api.as_ref().map(|api| api.code));
    let [headers] = &headers[..] else {
        return Err("one file has both headers".to_owned());
    };
    Ok([
        program::api_keys(&apis)?,
        program::headers(headers)?,
        program::apis(&apis)?,
        program::records(&schemas(Path::new("schema/records"))?)?,
        program::metadata_log(&schemas(Path::new("schema/metadata_log"))?)?,
        program::group_log(&schemas(Path::new("schema/group_log"))?)?,
    ]
    .concat())
}

/// What the files of a folder say, in the order of their names.
fn schemas(folder: &Path) -> Result<Vec<Schema>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the folder can be listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "kafka"));
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).map_err(|error| error.to_string());
        text.and_then(|text| notation::parse(&text)).map_err(|what| format!("{}: {what}", path.display()))
    };
    paths.iter().map(read).collect()
}
