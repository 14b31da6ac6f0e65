//! An issuer that publishes its public keys at a URL, over HTTP or HTTPS, and signs tokens with ES256.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use ringway_tls::{
    Opened,
    certificates::PairFiles,
    server::{ClientCertificates, Server, ServerSettings, Version},
    tickets::Tickets,
};
use serde_json::{Value, json};

use super::{Certificates, seconds_from_now};

/// A key pair on P-256 with a name.
pub struct IssuerKey {
    kid: String,
    pair: EcdsaKeyPair,
}

impl IssuerKey {
    pub fn new(kid: &str) -> Self {
        let (curve, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(curve, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(curve, document.as_ref(), &random).unwrap();
        Self { kid: kid.to_owned(), pair }
    }

    /// The public key (RFC 7517).
    pub fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.kid, "x": x, "y": y})
    }

    /// A token of a client, for a minute.
    pub fn token(&self, client: &str) -> String {
        let header = json!({"alg": "ES256", "kid": self.kid});
        let claims = json!({"sub": client, "exp": seconds_from_now(60)});
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// How the server answers.
#[derive(Debug, Clone)]
pub enum Answering {
    /// With this document.
    Document(String),
    /// With this status.
    Status(u16),
    /// Not at all.
    Never,
}

/// A server of keys, for the time of a test.
pub struct KeyServer {
    pub address: SocketAddr,
    answering: Arc<Mutex<Answering>>,
    requests: Arc<AtomicUsize>,
}

impl KeyServer {
    /// A server that publishes these keys; with certificates, over TLS.
    pub fn start(keys: &[&IssuerKey], certificates: Option<&Certificates>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            answering: Arc::new(Mutex::new(Answering::Status(404))),
            requests: Arc::default(),
        };
        server.publishes(keys);
        let (answering, requests) = (Arc::clone(&server.answering), Arc::clone(&server.requests));
        let tls = certificates.map(tls);
        thread::spawn(move || {
            let mut kept = Vec::new();
            for stream in listener.incoming().flatten() {
                requests.fetch_add(1, Ordering::Relaxed);
                let answering = answering.lock().unwrap().clone();
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let _ = match (answering, &tls) {
                    (Answering::Never, _) => {
                        kept.push(stream);
                        Ok(())
                    }
                    (answering, Some(tls)) => serve_sealed(stream, tls, &answering),
                    (answering, None) => serve(stream, &answering),
                };
            }
        });
        server
    }

    pub fn publishes(&self, keys: &[&IssuerKey]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        self.answers(Answering::Document(json!({ "keys": keys }).to_string()));
    }

    pub fn answers(&self, answering: Answering) {
        *self.answering.lock().unwrap() = answering;
    }

    /// How many connections have come.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn response(answering: &Answering) -> String {
    let (status, body) = match answering {
        Answering::Document(document) => (200, &**document),
        Answering::Status(status) => (*status, ""),
        Answering::Never => unreachable!("it does not answer"),
    };
    format!(
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

fn is_complete(head: &[u8]) -> bool {
    head.windows(4).any(|window| window == b"\r\n\r\n")
}

fn serve(mut stream: TcpStream, answering: &Answering) -> std::io::Result<()> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while !is_complete(&head) {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    stream.write_all(response(answering).as_bytes())
}

fn tls(certificates: &Certificates) -> Server {
    let pair = PairFiles {
        certificate: certificates.path("server.pem"),
        key: certificates.path("server.key"),
    };
    let settings = ServerSettings {
        pairs: vec![pair],
        version_min: Version::Tls12,
        suites: None,
        clients: ClientCertificates::None,
    };
    let tickets = Tickets::in_memory(Duration::from_secs(3600), SystemTime::now()).unwrap();
    Server::new(settings, tickets).unwrap()
}

fn serve_sealed(mut stream: TcpStream, tls: &Server, answering: &Answering) -> std::io::Result<()> {
    let mut session = tls.accept();
    let (mut head, mut buffer) = (Vec::new(), [0; 16_384]);
    while !is_complete(&head) {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let (mut received, mut out) = (&mut buffer[..count], Vec::new());
        while !received.is_empty() {
            match session.open(&mut received, &mut out) {
                Ok(Opened::InPlace(plain)) => head.extend_from_slice(plain),
                Ok(Opened::Assembled(plain)) => head.extend(plain),
                Ok(Opened::Nothing | Opened::Ended) => {}
                // The client does not trust the certificate.
                Err(_) => return Ok(()),
            }
        }
        stream.write_all(&out)?;
    }
    let mut out = response(answering).into_bytes();
    session.seal(&mut out, 0);
    session.close(&mut out);
    stream.write_all(&out)
}
