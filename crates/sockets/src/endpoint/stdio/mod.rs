//! Standard input and output as a byte stream socket.
//!
//! Neither is touched before it is used: a session that does not read leaves standard input to others. Inherited
//! descriptors are never made non-blocking (`net::inherited`). Errors say which side they are about.

#[cfg_attr(unix, path = "os_unix.rs")]
#[cfg_attr(not(unix), path = "os_elsewhere.rs")]
mod os;
pub mod stdin;
pub mod stdout;

pub use stdin::StdinRead;
pub use stdout::StdoutWrite;

use crate::{info::SocketInfo, socket::StreamSocket};
use std::{io, sync::Arc};

/// Standard input or output failed. As an `io::Error` it keeps the kind, so that a closed pipe stays `BrokenPipe`.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    #[error("cannot read standard input: {0}")]
    Read(#[source] io::Error),
    #[error("cannot write to standard output: {0}")]
    Write(#[source] io::Error),
}

impl From<StdioError> for io::Error {
    fn from(e: StdioError) -> Self {
        let kind = match &e {
            StdioError::Read(source) | StdioError::Write(source) => source.kind(),
        };
        Self::new(kind, e)
    }
}

/// Standard input and output of this process. Poll it inside a runtime. `stays_open`: others will write after it, so that
/// the end of this socket is not the end of standard output.
pub fn stdio_socket(stays_open: bool) -> StreamSocket {
    let write = if stays_open { StdoutWrite::that_stays_open() } else { StdoutWrite::new() };
    StreamSocket {
        read: Some(Box::new(StdinRead::new())),
        write: Some(Box::new(write)),
        hangup: None,
        link: None,
        info: Arc::new(SocketInfo { specifier: Some("stdio:".into()), ..Default::default() }),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::net::tcp::tests::BOUND;
    use std::process::Stdio;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        process::Command,
        time::timeout,
    };

    /// Set in the process that plays the child.
    const CHILD: &str = "SOCKETS_TEST_STDIO_CHILD";

    /// The child: answers a line, ends its output, then reads its input to the end.
    async fn play_child() {
        let mut socket = stdio_socket(false);
        let (read, write) = (socket.read.as_mut().unwrap(), socket.write.as_mut().unwrap());
        let mut line = [0; 64];
        let n = read.read(&mut line).await.unwrap();
        write.write_all(&line[..n]).await.unwrap();
        write.shutdown().await.unwrap();
        println!("this goes to /dev/null");
        let mut rest = String::new();
        read.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "rest");
    }

    #[tokio::test]
    async fn standard_streams_of_a_real_process() {
        if std::env::var_os(CHILD).is_some() {
            return play_child().await;
        }
        let name = "endpoint::stdio::tests::standard_streams_of_a_real_process";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        timeout(BOUND, async {
            input.write_all(b"answer me").await.unwrap();
            let mut said = String::new();
            // Ends although the child still runs: it waits for its input.
            output.read_to_string(&mut said).await.unwrap();
            assert!(said.ends_with("answer me"), "{said}");
            input.write_all(b"rest").await.unwrap();
            drop(input);
            assert!(child.wait().await.unwrap().success());
        })
        .await
        .unwrap();
    }
}
