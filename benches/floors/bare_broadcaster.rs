//! The floor for any broadcaster: one `write` for each viewer and frame, and nothing else. Its cost
//! is that of the kernel. `load-tests/fanout.sh` compares Floodmark with it.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

/// The time between two frames, as Floodmark's `stream.tick_ms`.
const TICK: Duration = Duration::from_millis(200);

/// Accepts any handshake. The answer has a wrong key, which `watchers` does not check.
fn accept(mut viewer: TcpStream) -> std::io::Result<TcpStream> {
    let mut request = Vec::new();
    let mut some = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        let n = viewer.read(&mut some)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        request.extend_from_slice(&some[..n]);
    }
    viewer.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")?;
    viewer.set_nodelay(true)?;
    viewer.set_nonblocking(true)?;
    Ok(viewer)
}

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    let viewers = Arc::new(Mutex::new(Vec::<TcpStream>::new()));
    let accepted = viewers.clone();
    std::thread::spawn(move || {
        for viewer in listener.incoming().flatten() {
            if let Ok(viewer) = accept(viewer) {
                accepted.lock().unwrap().push(viewer);
            }
        }
    });
    for seq in 1_u64.. {
        std::thread::sleep(TICK);
        let text = format!("{{\"type\":\"delta\",\"seq\":{seq},\"pad\":\"{:350}\"}}", "");
        let mut frame = vec![0x81, 126];
        frame.extend_from_slice(&(text.len() as u16).to_be_bytes());
        frame.extend_from_slice(text.as_bytes());
        let whole = |viewer: &mut TcpStream| viewer.write(&frame).is_ok_and(|n| n == frame.len());
        viewers.lock().unwrap().retain_mut(whole);
    }
    Ok(())
}
