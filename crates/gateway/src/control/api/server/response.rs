//! Writing the router's responses (RFC 9112 §6).
//!
//! A body is sent as it is produced. A client that stops reading is closed after a while.

use crate::{control::api::server::stream::Writer, limits::API_WRITE_STALL_MAX, memory};

use std::{io, time::SystemTime};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use http_body_util::BodyExt;
use tokio::{io::AsyncWriteExt, time::timeout};

use ringway_http::{KeepAlive, chunk};

/// The properties of the request that the response depends on.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// The minor version of HTTP/1.
    pub minor: u8,
    /// Whether the connection is kept open.
    pub after: KeepAlive,
}

/// How the end of a body is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is no body.
    Bodiless,
    Length,
    Chunked,
    /// RFC 9112 §6.3, item 8: HTTP/1.0 has no chunks.
    ByClose,
}

/// Writes a response; returns whether the connection is kept open.
///
/// # Errors
/// The client has gone or reads nothing, or the body is incomplete.
pub async fn write(
    writer: &mut Writer<'_>,
    response: Response,
    asked: &Asked,
) -> io::Result<KeepAlive> {
    let (head, mut body) = response.into_parts();
    let framing = framing(head.status, &body, &head.headers, asked);
    let after = if framing == Framing::ByClose { KeepAlive::Close } else { asked.after };
    let mut out = Vec::new();
    emit_head(&mut out, head.status, &head.headers, after);
    match framing {
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::Length if !head.headers.contains_key(header::CONTENT_LENGTH) => {
            let length = body.size_hint().exact().unwrap_or_default();
            out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
        }
        _ => {}
    }
    out.extend_from_slice(b"\r\n");
    if framing != Framing::Bodiless {
        write_body(writer, &mut body, framing, &mut out).await?;
    }
    write_all(writer, &out).await?;
    Ok(after)
}

fn framing(status: StatusCode, body: &Body, fields: &HeaderMap, asked: &Asked) -> Framing {
    // RFC 9110 §6.4.1
    let has_none = asked.method == Method::HEAD
        || status.is_informational()
        || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
    match body.size_hint().exact() {
        _ if has_none => Framing::Bodiless,
        Some(_) => Framing::Length,
        None if fields.contains_key(header::CONTENT_LENGTH) => Framing::Length,
        None if asked.minor == 0 => Framing::ByClose,
        None => Framing::Chunked,
    }
}

fn emit_head(out: &mut Vec<u8>, status: StatusCode, fields: &HeaderMap, after: KeepAlive) {
    let phrase = status.canonical_reason().unwrap_or_default();
    let date = httpdate::fmt_http_date(SystemTime::now());
    let line = format!("HTTP/1.1 {} {phrase}\r\ndate: {date}\r\n", status.as_u16());
    out.extend_from_slice(line.as_bytes());
    for (name, value) in fields {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if after == KeepAlive::Close {
        out.extend_from_slice(b"connection: close\r\n");
    }
}

/// Writes the head in `out` and then the body; bytes that remain in `out` are still to be written.
async fn write_body(
    writer: &mut Writer<'_>,
    body: &mut Body,
    framing: Framing,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(io::Error::other)?;
        // A frame without data holds trailers, which nothing here sends.
        let data: Bytes = frame.into_data().unwrap_or_default();
        // With the size of a chunk and its line feeds.
        memory::make_room(out, data.len() + 64).map_err(|_| io::ErrorKind::OutOfMemory)?;
        match framing {
            Framing::Chunked => chunk::write(out, |out| out.extend_from_slice(&data)),
            _ => out.extend_from_slice(&data),
        }
        // The last piece is written together with the end of the body.
        if !body.is_end_stream() {
            write_all(writer, out).await?;
            out.clear();
        }
    }
    if framing == Framing::Chunked {
        chunk::write_last(out);
    }
    Ok(())
}

/// Writes all bytes, however slowly the client reads, as long as it reads some.
///
/// # Errors
/// The client reads nothing for too long, or has gone.
pub async fn write_all(writer: &mut Writer<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = timeout(API_WRITE_STALL_MAX, writer.write(bytes)).await??;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[count..];
    }
    Ok(())
}
