//! Bundles the dashboard with npm into `$OUT_DIR/dashboard`, and writes `$OUT_DIR/dashboard.rs`, the
//! list of its files, which `src/http/assets.rs` includes. The script for the pages of a shop becomes
//! `$OUT_DIR/floodmark.js`, and `.br`, which `src/http/tracker.rs` includes; the user agents of bots become
//! `$OUT_DIR/bots.txt`, which `src/domain/bot/agents/mod.rs` includes.
//!
//! Nothing is written into the sources: two checkouts may share a target folder, and a checkout may
//! be moved.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, exit},
};

/// What the bundle is made from.
const INPUTS: [&str; 7] =
    ["src", "tracker", "public", "package.json", "package-lock.json", "build.mjs", "tsconfig.json"];

fn main() {
    for input in INPUTS {
        println!("cargo:rerun-if-changed=dashboard/{input}");
    }
    println!("cargo:rerun-if-changed=migrations");

    // Not FLOODMARK_…: cargo also sets it for what it runs, to which such a variable is a setting.
    println!("cargo:rustc-env=BUILT_FROM={}", build());
    let dashboard = folder("CARGO_MANIFEST_DIR").join("dashboard");
    let bundle = folder("OUT_DIR").join("dashboard");
    let installed = dashboard.join("node_modules/.package-lock.json");
    if newer(&dashboard.join("package-lock.json"), &installed) {
        npm(&dashboard, &["ci", "--no-audit", "--no-fund"]);
    }
    let tracker = folder("OUT_DIR").join("floodmark.js");
    let name = |path: &Path| path.to_str().expect("cargo's folders have names in UTF-8").to_owned();
    let bots = folder("OUT_DIR").join("bots.txt");
    let (bundled, tracker, bots) = (name(&bundle), name(&tracker), name(&bots));
    let files = ["--outdir", &bundled, "--tracker", &tracker, "--bots", &bots];
    npm(&dashboard, &[&["run", "--silent", "build", "--"], &files[..]].concat());
    fs::write(folder("OUT_DIR").join("dashboard.rs"), list_of(&bundle))
        .expect("cargo's OUT_DIR can be written to");
}

/// Which sources these are, for `floodmark --version`: what `SOURCE_COMMIT` says, as where there is no
/// repository beside the sources; else what git says. A build for tests says nothing, since it would have
/// to be made anew after every commit.
fn build() -> String {
    println!("cargo:rerun-if-env-changed=SOURCE_COMMIT");
    if let Some(commit) = env::var("SOURCE_COMMIT").ok().filter(|commit| !commit.is_empty()) {
        return format!("commit {commit}");
    }
    if env::var("PROFILE").as_deref() != Ok("release") {
        return "debug build".to_owned();
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        (output.status.success() && !text.is_empty()).then(|| text.trim().to_owned())
    };
    // The file that changes with every commit and every checkout, also in a worktree.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
    match git(&["log", "-1", "--format=%h of %cs"]) {
        Some(commit) => format!("commit {commit}"),
        None => "commit unknown".to_owned(),
    }
}

/// The folder that cargo names in this variable.
fn folder(variable: &str) -> PathBuf {
    env::var_os(variable).expect("cargo sets it").into()
}

/// Rust source: an array of `(name, contents)`, in the order of the names.
fn list_of(bundle: &Path) -> String {
    let entries = fs::read_dir(bundle).expect("the bundle was written there");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("a folder of ours is readable").file_name())
        .map(|name| name.into_string().expect("our files have plain names"))
        .collect();
    names.sort();
    let files: String = names
        .iter()
        .map(|name| {
            // The folder is named by the variable, not by its path, so that the source is the same
            // wherever the target folder lies.
            let path = format!(r#"concat!(env!("OUT_DIR"), "/dashboard/{name}")"#);
            format!("    ({name:?}, include_bytes!({path})),\n")
        })
        .collect();
    format!("&[\n{files}]\n")
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
