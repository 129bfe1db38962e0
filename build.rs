//! Bundles the dashboard with npm, once, into `dashboard/dist`, from where `src/http/assets.rs`
//! embeds it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, exit},
};

fn main() {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let dashboard = root.join("dashboard");
    for input in
        ["src", "public", "package.json", "package-lock.json", "build.mjs", "tsconfig.json"]
    {
        println!("cargo:rerun-if-changed=dashboard/{input}");
    }
    println!("cargo:rerun-if-changed=migrations");

    let installed = dashboard.join("node_modules/.package-lock.json");
    if newer(&dashboard.join("package-lock.json"), &installed) {
        npm(&dashboard, &["ci", "--no-audit", "--no-fund"]);
    }
    npm(&dashboard, &["run", "--silent", "build"]);
}

fn newer(a: &Path, b: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    match (time(a), time(b)) {
        (Some(a), Some(b)) => a > b,
        _ => true,
    }
}

fn npm(dashboard: &Path, arguments: &[&str]) {
    let failure = match Command::new("npm").args(arguments).current_dir(dashboard).output() {
        Ok(output) if output.status.success() => return,
        Ok(output) => format!(
            "`npm {}` failed in dashboard/:\n{}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        ),
        Err(e) => format!(
            "npm can't be run ({e}). The dashboard is bundled with Node.js 20 or later: install \
             it (Debian: apt-get install nodejs npm) and build again."
        ),
    };
    eprintln!("floodmark: {failure}");
    exit(1);
}
