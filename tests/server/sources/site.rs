//! A shop's site of one page, in which a paste stands.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

/// What the site has.
struct Files {
    /// What stands in the head of its page.
    head: String,
    /// Its script, as a module.
    script: String,
}

/// Serves the page at every path but that of the script.
pub fn serve(head: String, script: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let files = Arc::new(Files { head, script });
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let files = files.clone();
            thread::spawn(move || files.answer(stream));
        }
    });
    addr
}

impl Files {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut line = String::new();
        let mut request = BufReader::new(stream.try_clone()?);
        request.read_line(&mut line)?;
        let (kind, body) = match line.split(' ').nth(1) {
            Some("/paste.js") => ("text/javascript", self.script.clone()),
            _ => ("text/html; charset=utf-8", self.page()),
        };
        let head = format!("Content-Type: {kind}\r\nConnection: close");
        write!(stream, "HTTP/1.1 200 OK\r\n{head}\r\nContent-Length: {}\r\n\r\n", body.len())?;
        stream.write_all(body.as_bytes())?;
        // The rest of the browser's request is read, since closing before would cut the answer off.
        stream.shutdown(std::net::Shutdown::Write)?;
        request.read_to_end(&mut Vec::new())?;
        Ok(())
    }

    fn page(&self) -> String {
        let script = match self.script.is_empty() {
            true => "",
            false => "<script type=\"module\" src=\"/paste.js\"></script>",
        };
        let head = &self.head;
        format!(
            "<!doctype html><link rel=\"icon\" href=\"data:,\"><title>Mug</title>{head}{script}"
        )
    }
}
