//! Runs a paste as its user would: with the interpreter, in a page, in a shell.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    paste::{Paste, PasteKind},
    site,
};
use crate::support::{browser::Page, program::installed};

/// Where the SDKs are installed.
fn sdks() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
    let are_there = folder.join("node_modules").is_dir() && folder.join(".venv").is_dir();
    assert!(are_there, "the SDKs are missing: ./test installs them (npm ci and pip, in tests/sdk)");
    folder
}

/// What a paste is run with.
pub struct Runner {
    /// The certificate by which programs know the server.
    pub certificate: PathBuf,
    /// A folder for files.
    pub folder: PathBuf,
    /// Pages stay open until the rows are there.
    pub pages: Vec<Page>,
}

impl Runner {
    /// Runs a paste to its end; a page is left open. Panics if it fails or complains.
    pub fn run(&mut self, paste: &Paste) {
        match paste.kind {
            PasteKind::Shell => {
                let script = self.file("paste.sh", &paste.text);
                self.finish(installed(&["sh"], "every system has one").arg("-e").arg(script));
            }
            PasteKind::Node => {
                let mut node = installed(&["node"], "apt-get install nodejs, version 20 or later");
                // A module that is given as text finds its imports from the working directory.
                node.args(["--input-type=module", "-e", &paste.text]).current_dir(sdks());
                self.finish(&mut node);
            }
            PasteKind::Python => {
                let script = self.file("paste.py", &paste.text);
                self.finish(Command::new(sdks().join(".venv/bin/python")).arg(script));
            }
            PasteKind::Php => {
                let script = self.file("paste.php", &paste.text);
                self.php(&[&script]);
            }
            PasteKind::WooCommerce => {
                let script = self.file("paste.php", &paste.text);
                let shop = Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("tests/server/sources/woocommerce.php");
                self.php(&[&shop, &script]);
            }
            PasteKind::PageScript => {
                let script = self.bundled(&paste.text);
                self.open(String::new(), script);
            }
            PasteKind::PageText => self.open(paste.text.clone(), String::new()),
            PasteKind::Config | PasteKind::NotRun | PasteKind::Rows => {
                panic!("{:?} is no program", paste.kind)
            }
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, text).expect("a temporary folder can be written");
        path
    }

    fn php(&self, arguments: &[&Path]) {
        let mut php = installed(&["php"], "apt-get install php-cli");
        php.arg("-d").arg(format!("openssl.cafile={}", self.certificate.display()));
        self.finish(php.args(["-d", "display_errors=stderr"]).args(arguments));
    }

    /// Runs a program that must end well and say nothing on its standard error.
    fn finish(&self, command: &mut Command) {
        // Each library has a variable of its own for the authorities that it knows.
        for name in [
            "NODE_EXTRA_CA_CERTS",
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
        ] {
            command.env(name, &self.certificate);
        }
        let output = command.stdin(Stdio::null()).output().expect("it starts");
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}\n{said}\n{errors}", output.status);
        assert!(errors.trim().is_empty(), "it complains:\n{errors}");
    }

    /// A module with all that it imports.
    fn bundled(&self, text: &str) -> String {
        let folder = sdks();
        let mut bundler = Command::new(folder.join("node_modules/.bin/esbuild"))
            .args(["--bundle", "--format=esm", "--platform=browser", "--log-level=error"])
            .args(["--define:process.env.NODE_ENV=\"production\"", "--define:global=window"])
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("esbuild starts");
        let mut stdin = bundler.stdin.take().expect("it is piped");
        stdin.write_all(text.as_bytes()).expect("esbuild reads");
        drop(stdin);
        let output = bundler.wait_with_output().expect("esbuild ends");
        assert!(output.status.success(), "esbuild: {}", output.status);
        String::from_utf8(output.stdout).expect("a script")
    }

    /// Opens a page that has this in it.
    fn open(&mut self, head: String, script: String) {
        let site = site::serve(head, script);
        self.pages.push(Page::open(&format!("http://localhost:{}/product/mug", site.port())));
    }
}
