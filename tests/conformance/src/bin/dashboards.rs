//! Makes the files of `tuning/dashboards/grafana` from the definitions beside them.
#![forbid(unsafe_code)]

use anyhow::Context as _;
use ringlog_conformance::dashboards::dashboard;
use ringlog_kit::binary::top;

fn main() -> anyhow::Result<()> {
    let folder = top().join("tuning/dashboards");
    for entry in std::fs::read_dir(folder.join("definitions"))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).context("a definition has a name")?.to_owned();
        let definition = std::fs::read_to_string(&path)?;
        let made = dashboard(&definition).with_context(|| path.display().to_string())?;
        let file = folder.join("grafana").join(format!("ringlog-{name}.json"));
        std::fs::write(&file, made).with_context(|| file.display().to_string())?;
        println!("{}", file.display());
    }
    Ok(())
}
