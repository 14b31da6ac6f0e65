//! A client that reads an endless response: chunks with lines or blocks of events.
//!
//! It parses event streams by the HTML Standard, §9.2.6, and shares no code for that with the
//! gateway.

use serde_json::Value;

use super::{Client, Gateway, Request, Response};

/// A response that is still going on.
pub struct Stream {
    pub socket: Client,
    pub response: Response,
    /// Received text that was not read yet.
    text: String,
}

/// A block of an event stream: its fields, up to the empty line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Block {
    pub id: Option<String>,
    pub event: Option<String>,
    /// The lines of its data.
    pub data: Vec<String>,
    pub retry: Option<String>,
    pub comments: Vec<String>,
}

impl Block {
    /// The object in its data.
    #[track_caller]
    pub fn object(&self) -> Value {
        serde_json::from_str(&self.data.join("\n")).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl Stream {
    #[track_caller]
    pub fn opens(gateway: &Gateway, target: &str) -> Self {
        Self::requests(gateway, &Request::of(target))
    }

    #[track_caller]
    pub fn requests(gateway: &Gateway, request: &Request) -> Self {
        let mut socket = Client::connect(gateway);
        socket.sends(request.bytes());
        Self::on(socket)
    }

    /// Opens a stream on the next response of the connection.
    #[track_caller]
    pub fn on(mut socket: Client) -> Self {
        let response = socket.receives_head();
        assert_eq!(response.status, 200, "{}", response.head);
        assert_eq!(response.field("Transfer-Encoding"), Some("chunked"));
        Self { socket, response, text: String::new() }
    }

    /// The next chunk; `None` for the last one, after which the connection ends.
    #[track_caller]
    fn receives_chunk(&mut self) -> Option<String> {
        let chunk = self.socket.receives_chunk();
        (!chunk.is_empty()).then(|| String::from_utf8(chunk).unwrap())
    }

    #[track_caller]
    fn takes_through(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.text.find(end) {
                let rest = self.text.split_off(at + end.len());
                return std::mem::replace(&mut self.text, rest);
            }
            match self.receives_chunk() {
                Some(chunk) => self.text.push_str(&chunk),
                None => panic!("ended before {end:?}: {:?}", self.text),
            }
        }
    }

    /// The next line, with its line end.
    #[track_caller]
    pub fn receives_line(&mut self) -> String {
        self.takes_through("\n")
    }

    /// The object in the next line.
    #[track_caller]
    pub fn receives_object(&mut self) -> Value {
        let line = self.receives_line();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"))
    }

    /// The object that the next line, a script block, passes to `deliver`.
    #[track_caller]
    pub fn receives_scripted(&mut self) -> Value {
        let line = self.receives_line();
        let literal = line.strip_prefix("<script>deliver(").expect("a call");
        let literal = literal.strip_suffix(")</script>\n").expect("the end of the block");
        assert!(!literal.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{literal}");
        // The gateway's escapes are a subset of those of JSON.
        let text: String = serde_json::from_str(literal).unwrap_or_else(|_| panic!("{literal}"));
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text:?}"))
    }

    /// The object in the next line; `None` if the response has ended.
    #[track_caller]
    pub fn receives_object_or_end(&mut self) -> Option<Value> {
        if self.text.is_empty() {
            self.text = self.receives_chunk()?;
        }
        Some(self.receives_object())
    }

    /// The text of the next block.
    #[track_caller]
    pub fn receives_raw_block(&mut self) -> String {
        self.takes_through("\n\n")
    }

    /// The next block.
    #[track_caller]
    pub fn receives_block(&mut self) -> Block {
        let text = self.receives_raw_block();
        let mut block = Block::default();
        for line in text.trim_end_matches('\n').split('\n') {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match name {
                "" => block.comments.push(value),
                "id" => assert_eq!(block.id.replace(value), None, "{text:?}"),
                "event" => assert_eq!(block.event.replace(value), None, "{text:?}"),
                "retry" => assert_eq!(block.retry.replace(value), None, "{text:?}"),
                "data" => block.data.push(value),
                _ => panic!("{line:?}"),
            }
        }
        block
    }

    /// The next block, which must be an event with this data.
    #[track_caller]
    pub fn receives_event(&mut self, data: impl Into<Value>) -> Block {
        let block = self.receives_block();
        let object = block.object();
        assert_eq!((&object["type"], &object["data"]), (&"event".into(), &data.into()), "{object}");
        assert_eq!(object["cursor"], *block.id.as_ref().unwrap(), "{object}");
        block
    }

    /// The response has ended, and so has the connection.
    #[track_caller]
    pub fn receives_end(&mut self) {
        assert_eq!(self.text, "");
        assert_eq!(self.receives_chunk(), None);
        self.socket.receives_end();
    }
}
