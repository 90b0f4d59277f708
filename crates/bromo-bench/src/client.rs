//! A customer with one keep-alive connection: prebuilt bytes out, the status in. It parses no more than it
//! must to find the end of a response, so that the machine's second core is not what is measured.

use std::io::{self, Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Room for one response; longer ones are a fault of the set-up.
const RESPONSE_BYTES_MAX: usize = 4096;

/// Whom to ask, and with which bytes.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) request: Arc<[u8]>,
}

impl Target {
    /// A POST of the question that every run asks. `key` goes out as a bearer credential.
    pub(crate) fn post(address: SocketAddr, path: &str, key: &str) -> Self {
        const QUESTION: &str =
            r#"{"prompt":"Which teas are there, and how long does each of them steep?","country":"US"}"#;
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{QUESTION}",
            QUESTION.len()
        );
        Self { address, request: request.into_bytes().into() }
    }

    /// A GET under this key.
    pub(crate) fn get(address: SocketAddr, path: &str, key: &str) -> Self {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\r\n");
        Self { address, request: request.into_bytes().into() }
    }
}

/// One connection to a target.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Box<[u8; RESPONSE_BYTES_MAX]>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Box::new([0; RESPONSE_BYTES_MAX]) })
    }

    /// Sends the request and leaves its answer for later.
    pub(crate) async fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request).await
    }

    /// Whether an answer has begun to come; it is thrown away.
    pub(crate) fn was_answered(&mut self) -> io::Result<bool> {
        match self.stream.try_read(&mut self.buffer[..]) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// One request and its whole response; the status.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.write_all(request).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            if let Some(length) = message_bytes(&self.buffer[..filled])
                && filled >= length
            {
                return status(&self.buffer[..filled]);
            }
        }
    }

    /// One request and the text of its body.
    pub(crate) async fn fetch(&mut self, request: &[u8]) -> io::Result<String> {
        self.stream.write_all(request).await?;
        let mut text = Vec::new();
        self.stream.read_to_end(&mut text).await?;
        let body = memmem::find(&text, b"\r\n\r\n").map_or(0, |end| end + 4);
        Ok(String::from_utf8_lossy(&text[body..]).into_owned())
    }
}

/// Bytes of a whole message, once its head is there. One without a length has no body.
pub(crate) fn message_bytes(bytes: &[u8]) -> Option<usize> {
    let head = memmem::find(bytes, b"\r\n\r\n")? + 4;
    // These two spellings are all that hyper and nginx use.
    let length = memmem::find(&bytes[..head], b"ontent-length: ")
        .or_else(|| memmem::find(&bytes[..head], b"ontent-Length: "));
    let digits = length.map_or(&[][..], |at| &bytes[at + b"ontent-length: ".len()..head]);
    let number = digits.iter().take_while(|byte| byte.is_ascii_digit());
    Some(head + number.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

fn status(response: &[u8]) -> io::Result<u16> {
    let digits = response.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| Error::from(ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_where_its_length_says() {
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nx: y\r\n\r\n{\"a\":12345}\n";
        assert_eq!(message_bytes(response), Some(response.len()));
        assert_eq!(message_bytes(&response[..20]), None);
        assert_eq!(status(response).unwrap(), 200);
    }

    #[test]
    fn a_message_without_a_length_is_its_head() {
        assert_eq!(message_bytes(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"), Some(27));
    }
}
