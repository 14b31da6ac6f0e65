//! An application that is told what happens: over HTTP, with a failure at each request that a test
//! asks for.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::eventually;

/// How the application treats a request.
#[derive(Debug, Clone, Copy)]
pub enum Treatment {
    /// It answers with this status and these further fields.
    Answers(u16, &'static str),
    /// It takes its time, and then answers with 204.
    Dawdles(Duration),
    /// It closes the connection without an answer.
    HangsUp,
    /// It never answers.
    Stalls,
}

/// A request as the application got it.
#[derive(Debug, Clone)]
pub struct Told {
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether it was answered with 204.
    pub is_taken: bool,
}

impl Told {
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(one, _)| one.eq_ignore_ascii_case(name));
        &found.unwrap_or_else(|| panic!("no {name} in {:?}", self.fields)).1
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Its events: the body, or the members of an array.
    pub fn events(&self) -> Vec<Value> {
        match self.json() {
            Value::Array(events) => events,
            event => vec![event],
        }
    }
}

/// A running application.
pub struct HookServer {
    pub address: SocketAddr,
    treatments: Arc<Mutex<VecDeque<Treatment>>>,
    told: Arc<Mutex<Vec<Told>>>,
}

impl HookServer {
    /// It treats its first requests like this, and takes all others.
    pub fn start(treatments: &[Treatment]) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), treatments)
    }

    pub fn at(address: SocketAddr, treatments: &[Treatment]) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            treatments: Arc::new(Mutex::new(treatments.iter().copied().collect())),
            told: Arc::default(),
        };
        let (treatments, told) = (Arc::clone(&server.treatments), Arc::clone(&server.told));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (treatments, told) = (Arc::clone(&treatments), Arc::clone(&told));
                thread::spawn(move || serve(stream, &treatments, &told));
            }
        });
        server
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// Every event that it has taken so far, in order.
    pub fn events(&self) -> Vec<Value> {
        let taken = self.requests().into_iter().filter(|told| told.is_taken);
        taken.flat_map(|told| told.events()).collect()
    }

    /// The events that it has taken, once there are this many.
    #[track_caller]
    pub fn takes(&self, count: usize) -> Vec<Value> {
        eventually("the application takes the events", || self.events().len() >= count);
        let events = self.events();
        assert_eq!(events.len(), count, "{events:#?}");
        events
    }
}

fn serve(
    stream: TcpStream,
    treatments: &Mutex<VecDeque<Treatment>>,
    told: &Mutex<Vec<Told>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|count| *count > 0)?;
        assert!(line.starts_with("POST /ringway HTTP/1.1"), "{line:?}");
        let mut fields = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            fields.push((name.to_owned(), value.to_owned()));
        }
        let length = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let mut body = vec![0; length?.1.parse().ok()?];
        stream.read_exact(&mut body).ok()?;
        let treatment = treatments.lock().unwrap().pop_front();
        let treatment = treatment.unwrap_or(Treatment::Answers(204, ""));
        let is_taken = matches!(treatment, Treatment::Answers(204, _) | Treatment::Dawdles(_));
        let (status, more) = match treatment {
            Treatment::Answers(status, more) => (status, more),
            Treatment::Dawdles(time) => {
                thread::sleep(time);
                (204, "")
            }
            Treatment::HangsUp | Treatment::Stalls => (0, ""),
        };
        told.lock().unwrap().push(Told { fields, body, is_taken });
        match treatment {
            Treatment::HangsUp => return None,
            Treatment::Stalls => thread::sleep(Duration::from_secs(60)),
            _ => {
                let length = if status == 204 { "" } else { "Content-Length: 0\r\n" };
                let response = format!("HTTP/1.1 {status} Status\r\n{length}{more}\r\n");
                stream.get_mut().write_all(response.as_bytes()).ok()?;
            }
        }
    }
}
