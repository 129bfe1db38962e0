//! A proxy of a test's own: the real program, with the configuration that docs/PROXIES.md has for it.

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use crate::support::{
    certificate::{TlsConnection, make_for},
    client::{Answer, Connection, Request, WebSocket},
    port::Port,
    process::{command, find, folder, wait_until},
    viewer::STREAM,
};

/// The name of the shop on that page.
pub const NAME: &str = "shop.example";

/// The nodes' addresses on that page.
const NODES: [&str; 3] = ["10.0.0.11:8080", "10.0.0.12:8080", "10.0.0.13:8080"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brand {
    HaProxy,
    Nginx,
    Caddy,
}

/// A running proxy; killed when dropped.
pub struct Front {
    pub brand: Brand,
    pub folder: PathBuf,
    port: Port,
    child: Child,
}

impl Front {
    /// Starts the proxy before three nodes, which may be one and the same.
    pub fn start(brand: Brand, nodes: [SocketAddr; 3]) -> Front {
        Front::edited(brand, nodes, |text| text)
    }

    /// As [`Front::start`], with a configuration that is not quite that of the page.
    pub fn edited(brand: Brand, nodes: [SocketAddr; 3], edit: fn(String) -> String) -> Front {
        let folder = folder("px");
        let port = Port::free();
        let (cert, key) = (folder.join("shop.crt"), folder.join("shop.key"));
        make_for(NAME, &cert, &key);
        let both = fs::read_to_string(&cert).unwrap() + &fs::read_to_string(&key).unwrap();
        let pem = folder.join("shop.pem");
        fs::write(&pem, both).unwrap();
        // The proxy runs as another user than the test.
        for file in [&cert, &key, &pem] {
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        let child = brand.start(edit(brand.block()), &folder, port.number(), nodes);
        let mut front = Front { brand, folder, port, child };
        front.answers();
        front
    }

    fn answers(&mut self) {
        wait_until("the proxy answers", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("{:?} ended with {status}: {}", self.brand, self.log());
            }
            self.get("/readyz").is_ok_and(|answer| answer.status == 200)
        });
    }

    /// What the proxy has written about itself.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub fn addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port.number()).into()
    }

    /// The shop's name with the port, as clients have it in `Host`.
    pub fn host(&self) -> String {
        format!("{NAME}:{}", self.port.number())
    }

    /// A new connection, over TLS.
    pub fn connect(&self) -> std::io::Result<Connection<TlsConnection>> {
        let stream = TcpStream::connect(self.addr())?;
        Ok(Connection::over(TlsConnection::over(stream, NAME)?))
    }

    /// A request to the shop, by its name.
    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(self.addr(), method, path).header("Host", &self.host())
    }

    /// `GET path` on a connection of its own.
    pub fn get(&self, path: &str) -> std::io::Result<Answer> {
        self.request("GET", path).send_on(&mut self.connect()?)
    }

    /// Watches as a page of the shop does.
    pub fn watch(&self) -> Result<WebSocket<TlsConnection>, String> {
        let address = format!("ws://{}{STREAM}", self.host());
        let origin = ("Origin".to_owned(), format!("https://{}", self.host()));
        let stream = TcpStream::connect(self.addr()).map_err(|e| e.to_string())?;
        let stream = TlsConnection::over(stream, NAME).map_err(|e| e.to_string())?;
        WebSocket::over(stream, &address, &[origin]).map_err(|e| e.to_string())
    }

    /// What HAProxy says of its nodes, in their order: `UP`, `DOWN` and more.
    pub fn states(&self) -> Vec<String> {
        let mut socket = UnixStream::connect(self.folder.join("admin.sock")).expect("it listens");
        socket.write_all(b"show stat\n").expect("it reads");
        let mut table = String::new();
        socket.read_to_string(&mut table).expect("a table");
        let mut rows = table.trim_start_matches("# ").lines().map(|row| row.split(','));
        let names: Vec<&str> = rows.next().expect("a head").collect();
        let column = |name| names.iter().position(|known| *known == name).expect("a column");
        let (server, status) = (column("svname"), column("status"));
        let rows = rows.map(|row| row.collect::<Vec<_>>());
        let nodes =
            rows.filter(|row| row.get(server).is_some_and(|name| name.starts_with("node-")));
        nodes.map(|row| row[status].to_owned()).collect()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of {:?}:\n{}", self.brand, self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Brand {
    fn start(self, mut text: String, folder: &Path, port: u16, nodes: [SocketAddr; 3]) -> Child {
        let in_folder = |name: &str| folder.join(name).to_str().expect("plain").to_owned();
        let mut put = |what: &str, with: &str| {
            assert!(text.contains(what), "{what} stands in {text}");
            text = text.replace(what, with);
        };
        for (name, node) in NODES.iter().zip(nodes) {
            put(name, &node.to_string());
        }
        let hint = "./test --deploy installs it";
        let program = |name| command(find(name, &["/usr/sbin"], hint));
        let mut command = match self {
            Brand::HaProxy => {
                put("bind :443", &format!("bind 127.0.0.1:{port}"));
                put("/etc/haproxy/shop.example.pem", &in_folder("shop.pem"));
                put(
                    "/run/haproxy/admin.sock mode 660",
                    &format!("{} mode 666", in_folder("admin.sock")),
                );
                let mut command = program("haproxy");
                command.args(["-db", "-f"]).arg(folder.join("config"));
                command
            }
            Brand::Nginx => {
                put("listen 443", &format!("listen 127.0.0.1:{port}"));
                put("/etc/nginx/shop.example.crt", &in_folder("shop.crt"));
                put("/etc/nginx/shop.example.key", &in_folder("shop.key"));
                put("/var/log/nginx/floodmark.log", &in_folder("access.log"));
                text = around_nginx(&text, folder);
                let mut command = program("nginx");
                command.arg("-p").arg(folder).arg("-c").arg(folder.join("config"));
                command.args(["-e", &in_folder("log")]);
                command
            }
            Brand::Caddy => {
                let with_cert = format!(
                    "{NAME}:{port} {{\n\tbind 127.0.0.1\n\ttls {} {}\n",
                    in_folder("shop.crt"),
                    in_folder("shop.key")
                );
                put("shop.example {\n", &with_cert);
                // Nothing but the site: no listener for its admin, none on port 80, and none for
                // HTTP/3, since the test's mark of the port is on UDP.
                text = format!(
                    "{{\n\tadmin off\n\tauto_https disable_redirects\n\tservers {{\n\t\tprotocols h1 h2\n\t}}\n}}\n{text}"
                );
                let mut command = program("caddy");
                command
                    .env("HOME", folder)
                    .env("XDG_DATA_HOME", folder)
                    .env("XDG_CONFIG_HOME", folder);
                command
                    .args(["run", "--adapter", "caddyfile", "--config"])
                    .arg(folder.join("config"));
                command
            }
        };
        fs::write(folder.join("config"), text).unwrap();
        let log =
            || fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
        command.stdout(log()).stderr(log()).stdin(Stdio::null());
        fs::set_permissions(folder.join("log"), Permissions::from_mode(0o666)).unwrap();
        command.spawn().unwrap_or_else(|e| panic!("{self:?}: {e}"))
    }

    /// The configuration on the page: its fenced block.
    fn block(self) -> String {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PROXIES.md");
        let page = fs::read_to_string(page).expect("the page");
        let fence = match self {
            Brand::HaProxy => "```haproxy\n",
            Brand::Nginx => "```nginx\n",
            Brand::Caddy => "```caddy\n",
        };
        let mut blocks = page.split(fence).skip(1);
        let block = blocks.next().and_then(|rest| rest.split("```").next());
        assert!(blocks.next().is_none(), "one block of its kind");
        block.expect("a block").to_owned()
    }
}

/// What Debian's nginx.conf has around the files of conf.d, with all files in the test's folder. It is one
/// process: workers of a master that is killed would outlive the test.
fn around_nginx(site: &str, folder: &Path) -> String {
    let folder = folder.display();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = kinds.map(|kind| format!("{kind}_temp_path {folder}/{kind};\n")).concat();
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{ worker_connections 1024; }}\n\
         http {{\n{temporary}{site}\n}}\n"
    )
}
