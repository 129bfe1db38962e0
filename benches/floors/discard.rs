//! The floor for intake: an actix-web server that reads a request's body, throws it away and
//! answers what Floodmark would. `load-tests/bench` compares the two.
//!
//! `cargo run --release --example discard -- 127.0.0.1:0`

use std::net::TcpListener;

use actix_web::{App, HttpResponse, HttpServer, web};

async fn discard(body: web::Bytes) -> HttpResponse {
    std::hint::black_box(body.len());
    HttpResponse::Accepted()
        .content_type("application/json")
        .body(r#"{"accepted":1,"duplicates":0,"rejected":[]}"#)
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(listen)?;
    println!("http://{}", listener.local_addr()?);
    let app = || {
        App::new()
            .app_data(web::PayloadConfig::new(1 << 20))
            .route("/v1/events", web::post().to(discard))
    };
    HttpServer::new(app).listen(listener)?.run().await
}
