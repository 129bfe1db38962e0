//! What is shipped, booted: an event goes in and is read back through each artefact.

use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::support::{
    client::Request,
    process::{find, run, wait_until},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_floodmark");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program that pip has put into the project's own environment, or of the PATH.
fn of_pip(name: &str) -> PathBuf {
    let venv = root().join("target/venv/bin");
    find(name, &[venv.to_str().unwrap()], "./test --deploy installs it")
}

/// A server in some kind of box. It is killed when dropped.
struct Boxed {
    child: Child,
    addr: SocketAddr,
}

impl Boxed {
    /// Starts it, and waits for the line that says where it listens.
    fn start(command: &mut Command) -> Boxed {
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FLOODMARK_")) {
            command.env_remove(name);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = lines.next().and_then(Result::ok);
        let line = line.unwrap_or_else(|| panic!("{command:?} ended: {:?}", child.wait()));
        let addr = line.rsplit("http://").next().and_then(|addr| addr.parse().ok());
        Boxed { child, addr: addr.unwrap_or_else(|| panic!("no address in {line:?}")) }
    }

    /// Sends an event and reads it back.
    fn takes_an_event(&self) {
        let sent =
            Request::post(self.addr, "/v1/events", r#"{"type":"page_view","sessionId":"s"}"#);
        assert_eq!(sent.send().expect("it answers").status, 202);
        wait_until("the event is shown", || {
            let shown = Request::get(self.addr, "/api/analytics/current").send();
            shown.expect("it answers").json()["pageViews"] == 1
        });
        let page = Request::get(self.addr, "/").send().expect("it answers");
        assert!(page.status == 200 && page.text().contains("<title>"), "{page:?}");
    }
}

impl Drop for Boxed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs bubblewrap and root: ./test --deploy"]
fn the_images_root_filesystem_runs_read_only_and_as_its_user() {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let image = folder.path().join("image");
    run(Command::new(root().join("deploy/image/rootfs.sh")).arg(PROGRAM).arg(&image));
    // The volume, which the runtime makes for the image's user.
    let data = image.join("var/lib/floodmark");
    let in_image = |variables: &[(&str, &str)], arguments: &[&str]| {
        // Already outside it is the image's user, so that the files have the owners that they have there.
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65532", "--regid", "65532", "--clear-groups"]);
        command.arg(find("bwrap", &[], "apt-get install bubblewrap"));
        command.args(["--die-with-parent", "--unshare-all", "--share-net"]);
        command.args(["--uid", "65532", "--gid", "65532", "--cap-drop", "ALL", "--clearenv"]);
        command.arg("--ro-bind").args([&image, Path::new("/")]);
        command.arg("--bind").args([&data, Path::new("/var/lib/floodmark")]);
        command.args(["--proc", "/proc", "--dev", "/dev"]);
        for (name, value) in variables {
            command.args(["--setenv", name, value]);
        }
        command.args(["--", "/usr/bin/floodmark"]).args(arguments);
        command
    };
    // Those of the Dockerfile, but for the address, on which nobody from outside is let in without keys.
    let listen = ("FLOODMARK_LISTEN", "127.0.0.1:0");
    let fixed = ("FLOODMARK_DATA_DIR", "/var/lib/floodmark");
    let server = Boxed::start(&mut in_image(&[fixed, listen], &["serve"]));
    server.takes_an_event();
    let own = server.addr.to_string();
    let asked = |address: &str| {
        let variables = [fixed, ("FLOODMARK_LISTEN", address)];
        in_image(&variables, &["health"]).status().expect("bwrap runs").success()
    };
    assert!(asked(&own), "the health check of the image");
    assert!(data.join("floodmark.db").exists(), "its files are in the volume");
    drop(server);
    assert!(!asked(&own), "nobody is there");
    // Elsewhere it can't write: the root is read-only.
    let elsewhere = [("FLOODMARK_DATA_DIR", "/etc/floodmark"), listen];
    let output = in_image(&elsewhere, &["serve"]).output().expect("bwrap runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("Read-only file system"), "{said}");
}

#[test]
#[ignore = "needs systemd-analyze: ./test --deploy"]
fn the_unit_is_well_formed_and_confined() {
    let unit = fs::read_to_string(root().join("deploy/systemd/floodmark.service")).unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("floodmark.service");
    // The program and its manual are not installed here.
    let unit = unit.replace("/usr/bin/floodmark", PROGRAM);
    let unit = unit.replace("Documentation=man:floodmark(1)\n", "");
    fs::write(&path, unit).unwrap();
    let analyze = find("systemd-analyze", &[], "apt-get install systemd");
    let mut verify = Command::new(&analyze);
    let output = verify.arg("verify").arg(&path).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("floodmark.service"), "{said}");
    // Ten times the exposure level; a service without any confinement has 96.
    let mut security = Command::new(&analyze);
    run(security.args(["security", "--offline=true", "--threshold=20"]).arg(&path));
}

#[test]
#[ignore = "needs hadolint: ./test --deploy"]
fn the_dockerfile_has_nothing_that_its_linter_knows_better() {
    run(Command::new(of_pip("hadolint")).arg(root().join("Dockerfile")));
    // The variables that the image sets are keys that exist.
    let text = fs::read_to_string(root().join("Dockerfile")).unwrap();
    for name in ["FLOODMARK_DATA_DIR", "FLOODMARK_LISTEN", "FLOODMARK_LOG__FORMAT"] {
        assert!(text.contains(name), "{name}");
    }
}

#[test]
#[ignore = "needs kubectl and kubernetes-validate: ./test --deploy"]
fn kubernetes_would_take_what_kustomize_makes() {
    let kubectl = find("kubectl", &[], "apt-get install kubernetes-client");
    let made = run(Command::new(kubectl).arg("kustomize").arg(root().join("deploy/kustomize")));
    for kind in ["StatefulSet", "Service", "PodDisruptionBudget", "Namespace"] {
        assert!(made.contains(&format!("kind: {kind}")), "{kind}:\n{made}");
    }
    for part in ["preStop", "path: /readyz", "maxUnavailable: 1", "readOnlyRootFilesystem: true"] {
        assert!(made.contains(part), "{part}:\n{made}");
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("all.yaml");
    fs::write(&path, made).unwrap();
    run(Command::new(of_pip("kubernetes-validate")).arg("--strict").arg(path));
}

#[test]
#[ignore = "needs cargo-deb, mmdebstrap and root: ./test --deploy"]
fn the_debian_package_installs_into_a_fresh_root_and_serves_as_its_user() {
    run(Command::new(root().join("deploy/debian/build")).arg(PROGRAM).env("PATH", path()));
    let packages = fs::read_dir(root().join("target/debian")).expect("cargo-deb has made it");
    let newest = packages
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "deb"))
        .max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    let package = newest.expect("a package");
    let folder = TempDir::new().unwrap();
    let system = folder.path().join("root");
    run(Command::new(find("mmdebstrap", &[], "apt-get install mmdebstrap"))
        .args(["--variant=minbase", "--include=adduser", "bookworm"])
        .arg(&system));
    fs::copy(&package, system.join("floodmark.deb")).unwrap();
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("chroot");
        command.arg(&system).args(arguments).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    };
    run(inside(&["dpkg", "--install", "/floodmark.deb"]).env("DEBIAN_FRONTEND", "noninteractive"));
    for path in [
        "usr/bin/floodmark",
        "etc/floodmark/floodmark.toml",
        "usr/share/bash-completion/completions/floodmark",
    ] {
        assert!(system.join(path).exists(), "{path}");
    }
    let listed = run(&mut inside(&["dpkg", "--listfiles", "floodmark"]));
    assert!(listed.contains("floodmark.service") && listed.contains("floodmark.1.gz"), "{listed}");
    // What systemd does at the start: StateDirectory=, User=.
    run(&mut inside(&["install", "-d", "-o", "floodmark", "-m", "700", "/var/lib/floodmark"]));
    let serve = ["/usr/bin/floodmark", "serve", "--config", "/etc/floodmark/floodmark.toml"];
    let user = "--userspec=floodmark:floodmark";
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "chroot", user]).arg(&system).args(serve);
    command.args(["--listen", "127.0.0.1:0"]);
    let server = Boxed::start(&mut command);
    server.takes_an_event();
    assert!(system.join("var/lib/floodmark/floodmark.db").exists(), "its data dir");
    drop(server);
    // The package goes, the events stay.
    run(&mut inside(&["dpkg", "--remove", "floodmark"]));
    assert!(!system.join("usr/bin/floodmark").exists());
    assert!(system.join("var/lib/floodmark/floodmark.db").exists());
}

/// The PATH, with where cargo installs programs.
fn path() -> String {
    let home = std::env::var("HOME").unwrap_or_default();
    format!("{}:{home}/.cargo/bin", std::env::var("PATH").unwrap_or_default())
}
