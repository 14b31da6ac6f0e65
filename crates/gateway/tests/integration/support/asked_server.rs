//! An application that the gateway asks by HTTP, on a port or a unix socket: a small server whose
//! answers the test decides.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{Engine, Gateway, Launch, PATIENCE};

/// What the application answers.
#[derive(Debug, Clone)]
pub enum Said {
    /// 200, with this JSON.
    Json(Value),
    /// This status, with these header lines and this body.
    Raw(u16, &'static str, String),
    /// 200, with this JSON, after this time.
    Late(Duration, Value),
    /// Nothing; the connection stays open.
    Never,
}

type Decide = dyn Fn(&Value) -> Said + Send + Sync;

/// An application that runs until the test ends.
pub struct AskedServer {
    directory: TempDir,
    url: String,
    decide: Arc<Mutex<Arc<Decide>>>,
    questions: mpsc::Receiver<Value>,
}

impl AskedServer {
    /// An application on a port.
    pub fn start(decide: impl Fn(&Value) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ringway", listener.local_addr().unwrap());
        let accept = move || {
            let (stream, _) = listener.accept().unwrap();
            // Otherwise an answer in two writes waits for the gateway's kernel.
            stream.set_nodelay(true).unwrap();
            stream
        };
        Self::serve(TempDir::new().unwrap(), url, decide, accept)
    }

    /// An application on a unix socket.
    pub fn on_socket(decide: impl Fn(&Value) -> Said + Send + Sync + 'static) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("app.sock");
        let url = format!("unix:{}:/ringway", path.display());
        let listener = UnixListener::bind(path).unwrap();
        Self::serve(directory, url, decide, move || listener.accept().unwrap().0)
    }

    fn serve<S: Read + Write + Send + 'static>(
        directory: TempDir,
        url: String,
        decide: impl Fn(&Value) -> Said + Send + Sync + 'static,
        accept: impl Fn() -> S + Send + 'static,
    ) -> Self {
        let decide: Arc<Mutex<Arc<Decide>>> = Arc::new(Mutex::new(Arc::new(decide)));
        let (told, questions) = mpsc::channel();
        let deciding = Arc::clone(&decide);
        thread::spawn(move || {
            loop {
                let (stream, decide, told) = (accept(), Arc::clone(&deciding), told.clone());
                thread::spawn(move || answer_all(stream, &decide, &told));
            }
        });
        Self { directory, url, decide, questions }
    }

    /// From now on it answers so.
    pub fn answers(&self, decide: impl Fn(&Value) -> Said + Send + Sync + 'static) {
        *self.decide.lock().unwrap() = Arc::new(decide);
    }

    /// The next question.
    #[track_caller]
    pub fn is_asked(&self) -> Value {
        self.questions.recv_timeout(PATIENCE).expect("the application is asked in time")
    }

    /// Whether it was asked nothing that the test has not seen.
    pub fn is_asked_nothing(&self) -> bool {
        self.questions.try_recv().is_err()
    }

    /// A gateway that asks it about these events, with more lines of its table, and other tables.
    #[track_caller]
    pub fn gateway(&self, engine: Engine, events: &[&str], lines: &str) -> Gateway {
        self.launch(engine, events, lines, "").start()
    }

    /// As [`Self::gateway`], not started yet and with other tables.
    pub fn launch(&self, engine: Engine, events: &[&str], lines: &str, other: &str) -> Launch {
        let hook = format!("[[hook]]\nurl = {:?}\nevents = {events:?}\n{lines}\n", self.url);
        let path = self.directory.path().join("ringway.toml");
        std::fs::write(&path, format!("{other}\n{hook}")).unwrap();
        Launch::on(engine).flags(&["--config", path.to_str().unwrap()])
    }
}

fn answer_all(
    mut stream: impl Read + Write,
    decide: &Mutex<Arc<Decide>>,
    told: &mpsc::Sender<Value>,
) -> Option<()> {
    let mut received = Vec::new();
    loop {
        let question = next_question(&mut stream, &mut received)?;
        let decide = Arc::clone(&decide.lock().unwrap());
        let said = decide(&question);
        let _ = told.send(question);
        let (status, fields, body) = match said {
            Said::Json(value) => (200, "Content-Type: application/json\r\n", value.to_string()),
            Said::Raw(status, fields, body) => (status, fields, body),
            Said::Late(time, value) => {
                thread::sleep(time);
                (200, "Content-Type: application/json\r\n", value.to_string())
            }
            Said::Never => {
                let _ = stream.read(&mut [0]);
                return None;
            }
        };
        let head =
            format!("HTTP/1.1 {status} Said\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.into_bytes(), body.into_bytes()].concat()).ok()?;
    }
}

/// The body of the next request, which has a Content-Length.
fn next_question(stream: &mut impl Read, received: &mut Vec<u8>) -> Option<Value> {
    let mut buffer = [0; 16_384];
    loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
            assert!(head.starts_with("post /ringway http/1.1\r\n"), "{head}");
            assert!(head.contains("content-type: application/json"), "{head}");
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            let whole = end + 4 + length;
            if received.len() >= whole {
                let question = serde_json::from_slice(&received[end + 4..whole]).unwrap();
                received.drain(..whole);
                return Some(question);
            }
        }
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            count => received.extend_from_slice(&buffer[..count]),
        }
    }
}
