//! `readfile:`, `writefile:`, `appendfile:` and `file_socket`.

use crate::{
    error::{Error, Kind, Result},
    register,
    scenario::{Callback, Flow, Handle, OptsReader, RhFn, RhOpts, RhResult, TaskHandle, fresh, task},
    spec::{About, EndpointSpec, Form, OptionMap, Script, SocketKind, Then, os_literal},
};
use rhai::{Engine, NativeCallContext};
use serde::{Deserialize, Serialize};
use sockets::{endpoint::file::FileOptions, socket::StreamSocket};
use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

/// A file, for one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub mode: Mode,
    pub path: OsString,
}

/// What is done with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Read,
    Write,
    Append,
}

const READ: &str = "readfile";
const APPEND: &str = "appendfile";

/// Options of `file_socket`, of which the command line has those for writing.
#[derive(Clone, Debug, Default, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct FileOpts {
    /// Open for writing, from an empty file
    #[arg(skip)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub write: bool,
    /// Open for writing at the end
    #[arg(skip)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub append: bool,
    /// writefile: refuses existing files
    #[arg(long = "write-file-no-overwrite")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_overwrite: bool,
    /// writefile: takes a fresh name beside an existing file, with a time stamp
    #[arg(long = "write-file-auto-rename", conflicts_with = "no_overwrite")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub auto_rename: bool,
}

impl EndpointSpec for File {
    const FORMS: &'static [Form] = &[
        Form {
            name: READ,
            prefixes: &["readfile:"],
            value: "PATH",
            doc: "Reads a file, then EOF. What is written is discarded.",
        },
        Form {
            name: "writefile",
            prefixes: &["writefile:"],
            value: "PATH",
            doc: "Writes to a file, which is created or emptied first. Reads give EOF.",
        },
        Form {
            name: APPEND,
            prefixes: &["appendfile:"],
            value: "PATH",
            doc: "Writes to the end of a file, which is created if needed. Reads give EOF.",
        },
    ];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        let mode = match form.name {
            READ => Mode::Read,
            APPEND => Mode::Append,
            _ => Mode::Write,
        };
        if value.is_empty() {
            return Err(Error::usage(format!("the path is missing; write {}PATH", form.prefixes[0])));
        }
        if value.as_encoded_bytes().contains(&0) {
            return Err(Error::usage("a path cannot contain a NUL byte"));
        }
        Ok(Self { mode, path: value.to_owned() })
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    /// Files to write to are: a second one of them would write over what the first one wrote.
    fn is_single(&self) -> bool {
        self.mode != Mode::Read
    }

    fn explain(&self, about: &About<'_>) -> String {
        let path = self.path.display();
        let options = &about.args.endpoints.file;
        match self.mode {
            Mode::Read => format!("Reads the file {path}; what comes from the other side is discarded."),
            Mode::Append => format!("Appends to the file {path}; gives no data."),
            Mode::Write if options.no_overwrite => {
                format!("Writes a new file {path}, which must not exist yet; gives no data.")
            }
            Mode::Write if options.auto_rename => {
                format!(
                    "Writes the file {path}, or if that exists a new one beside it with the time in its name; gives no data."
                )
            }
            Mode::Write => format!("Writes the file {path}, whose old content is lost; gives no data."),
        }
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let args = &script.args.endpoints.file;
        let (write, append) = (self.mode == Mode::Write, self.mode == Mode::Append);
        let opts = FileOpts {
            write,
            append,
            no_overwrite: write && args.no_overwrite,
            auto_rename: write && args.auto_rename,
        };
        let call = format!("file_socket({}, {},", OptionMap::of(&opts)?, os_literal(&self.path));
        script.callback(&call, "file", then)
    }
}

/// A task that opens a file and goes on with a function that gets it as a stream socket. Without options the file is read.
fn file_socket(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<FileOpts>,
    path: OsString,
    continuation: RhFn<(Handle<StreamSocket>,)>,
) -> RhResult<TaskHandle> {
    let FileOpts { write, append, no_overwrite, auto_rename } = OptsReader::read(opts)?;
    let options = FileOptions { write, append, no_overwrite, auto_rename };
    let callback = Callback::new(&ctx, continuation)?;
    Ok(task(async move {
        let socket = sockets::endpoint::file::file_socket(Path::new(&path), options).await;
        let socket = socket.map_err(|e| Error::with_source(Kind::File, e.to_string(), e))?;
        Ok(Flow::Then(callback.task((fresh(socket),))?))
    }))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, file_socket);
}
