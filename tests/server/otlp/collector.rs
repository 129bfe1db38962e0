//! A collector of OpenTelemetry in a test: it decodes what it is sent with the types of the specification.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{Metric, metric::Data, number_data_point},
    resource::v1::Resource,
    trace::v1::Span,
};
use prost::Message;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject},
};

use crate::support::certificate;

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Sent {
    pub path: String,
    /// In lower case.
    pub head: String,
    pub body: Vec<u8>,
}

/// The collector. Its threads end with the process of the test.
pub struct Collector {
    pub addr: SocketAddr,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Collector {
    /// One that takes everything.
    pub fn start() -> Collector {
        Collector::serving(serve)
    }

    /// One that takes everything, by TLS with this certificate and its key.
    pub fn over_tls(cert: &Path, key: &Path) -> Collector {
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("versions that ring has")
            .with_no_client_auth()
            .with_single_cert(vec![certificate::read(cert)], key)
            .expect("a certificate and its key");
        let config = Arc::new(config);
        Collector::serving(move |stream, noted| {
            let tls = ServerConnection::new(config.clone()).ok()?;
            serve(StreamOwned::new(tls, stream), noted)
        })
    }

    fn serving(
        serve: impl Fn(TcpStream, &Mutex<Vec<Sent>>) -> Option<()> + Clone + Send + 'static,
    ) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("it listens");
        let sent = Arc::<Mutex<Vec<Sent>>>::default();
        let noted = sent.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (noted, serve) = (noted.clone(), serve.clone());
                thread::spawn(move || serve(stream, &noted));
            }
        });
        Collector { addr, sent }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().expect("nobody has panicked").clone()
    }

    fn of(&self, path: &str) -> Vec<Sent> {
        self.sent().into_iter().filter(|sent| sent.path == path).collect()
    }

    /// All spans so far, each with what it is of.
    pub fn spans(&self) -> Vec<(Resource, Span)> {
        let mut spans = Vec::new();
        for sent in self.of("/v1/traces") {
            let request = ExportTraceServiceRequest::decode(&sent.body[..]).expect("spans");
            for of_process in request.resource_spans {
                let resource = of_process.resource.expect("a resource");
                let found = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.extend(found.map(|span| (resource.clone(), span)));
            }
        }
        spans
    }

    /// The spans of this name.
    pub fn named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().map(|(_, span)| span).filter(|span| span.name == name).collect()
    }

    /// The metrics that were sent last.
    pub fn metrics(&self) -> Vec<Metric> {
        let Some(sent) = self.of("/v1/metrics").pop() else { return Vec::new() };
        let request = ExportMetricsServiceRequest::decode(&sent.body[..]).expect("metrics");
        let scopes = request.resource_metrics.into_iter().flat_map(|of| of.scope_metrics);
        scopes.flat_map(|scope| scope.metrics).collect()
    }

    /// What the counter of this name adds up to, over all of its labels.
    pub fn counted(&self, name: &str) -> Option<i64> {
        let metric = self.metrics().into_iter().find(|metric| metric.name == name)?;
        let Some(Data::Sum(sum)) = metric.data else { panic!("{name} is no sum") };
        assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "{name} is cumulative");
        let values = sum.data_points.into_iter().map(|point| match point.value {
            Some(number_data_point::Value::AsInt(value)) => value,
            other => panic!("{name} is {other:?}"),
        });
        Some(values.sum())
    }
}

/// The text of an attribute, or its number as text.
pub fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}

/// Takes the requests of one connection.
fn serve(stream: impl Read + Write, noted: &Mutex<Vec<Sent>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let path = head.split(' ').nth(1)?.to_owned();
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        let mut body = vec![0; length.trim().parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        noted.lock().ok()?.push(Sent { path, head, body });
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        reader.get_mut().write_all(answer).ok()?;
        reader.get_mut().flush().ok()?;
    }
}
