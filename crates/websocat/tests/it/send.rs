//! Everything that a connection is made of may move between worker threads.
//!
//! The lists are checked by the compiler, and by a test that reads the sources: a new half, machine or future that is
//! in neither list fails it. Names in `INSIDE` cannot be reached from here; each of them is `Send` because of a bound
//! that the same test looks for.

use proc_macro2::TokenStream;
use std::{collections::BTreeSet, fs, future::Future, path::Path};
use syn::visit::{self, Visit};

fn is_send<T: Send>() {}
fn is_send_and_sync<T: Send + Sync>() {}
/// The futures of async functions have no name: the function stands for them.
fn gives_send<A, F: Future + Send>(_: impl Fn(A) -> F) {}

macro_rules! types {
    ($list:ident, $test:ident, $check:ident, $($($module:ident)::+ $(<$argument:ty>)?),+ $(,)?) => {
        #[test]
        fn $test() {
            $( $check::<$($module)::+ $(<$argument>)?>(); )+
        }
        const $list: &[&str] = &[$(stringify!($($module)::+)),+];
    };
}

types![
    MOVED,
    halves_machines_and_sessions_are_send,
    is_send,
    // Sockets and what watches them.
    sockets::socket::StreamSocket,
    sockets::socket::DatagramSocket,
    sockets::stream::BoxStreamRead,
    sockets::stream::BoxStreamWrite,
    sockets::datagram::BoxDatagramRead,
    sockets::datagram::BoxDatagramWrite,
    sockets::hangup::Hangup,
    sockets::buffer::Window,
    sockets::gather::Gather,
    // Sessions.
    sockets::copy::CopyBytes,
    sockets::copy::StreamCopy,
    sockets::copy::ExchangeBytes,
    sockets::exchange::Heard,
    sockets::exchange::CopyPackets,
    sockets::exchange::ExchangePackets,
    sockets::exchange::ExchangeError,
    // Overlays.
    sockets::overlay::chunks::StreamChunks,
    sockets::overlay::chunks::StreamSink,
    sockets::overlay::datagram_log::DatagramLogReader,
    sockets::overlay::datagram_log::DatagramLogWriter,
    sockets::overlay::defragment::Defragment,
    sockets::overlay::length_prefixed::LengthPrefixedReader,
    sockets::overlay::length_prefixed::LengthPrefixedWriter,
    sockets::overlay::lines::LineReader,
    sockets::overlay::lines::LineWriter,
    sockets::overlay::rate_limit::RateLimitedRead,
    sockets::overlay::rate_limit::RateLimitedSink,
    sockets::overlay::rate_limit::RateLimitedSource,
    sockets::overlay::rate_limit::RateLimitedWrite,
    sockets::overlay::read_limiter::ReadLimiter,
    sockets::overlay::stream_log::StreamLogReader,
    sockets::overlay::stream_log::StreamLogWriter,
    sockets::overlay::split_off::SplitReader,
    sockets::overlay::tee::TeeReader,
    sockets::overlay::tee::TeeWriter,
    sockets::overlay::write_buffer::WriteBuffer,
    sockets::overlay::write_limiter::WriteLimiter,
    sockets::overlay::ws::LossyReader,
    sockets::overlay::ws::LossyWriter,
    sockets::overlay::ws::WsReader,
    sockets::overlay::ws::WsWriter,
    // Endpoints.
    sockets::endpoint::demo_packets::CountdownPackets,
    sockets::endpoint::demo_packets::PrintedPackets,
    sockets::endpoint::mirror_datagram::MirrorReader,
    sockets::endpoint::mirror_datagram::MirrorWriter,
    sockets::endpoint::mirror_stream::MirrorStreamReader,
    sockets::endpoint::mirror_stream::MirrorStreamWriter,
    sockets::endpoint::process::Child,
    sockets::endpoint::stdio::StdinRead,
    sockets::endpoint::stdio::StdoutWrite,
    sockets::net::listen::Listener,
    sockets::net::kernel_stream::KernelRead,
    sockets::net::kernel_stream::KernelWrite,
    sockets::split::Joined,
    sockets::split::Prefixed,
    // Test sockets, which are endpoints too.
    sockets::testing::Recorder,
    sockets::testing::MockMismatch,
    // Tasks.
    websocat::scenario::Task,
    websocat::scenario::Run,
    websocat::scenario::Flow,
    websocat::error::Error,
];

#[cfg(unix)]
#[test]
fn inherited_descriptors_are_send() {
    is_send::<sockets::net::inherited::PolledFd>();
    is_send::<sockets::net::inherited::BlockingFd>();
}

#[test]
fn splicing_is_send() {
    is_send::<sockets::splice::SpliceCopy>();
}

types![
    SHARED,
    what_is_shared_is_send_and_sync,
    is_send_and_sync,
    sockets::stop::Stop,
    sockets::socket::Link,
    sockets::info::SocketInfo,
    sockets::hub::Hub,
    sockets::overlay::reuse::Reuser,
    sockets::overlay::reuse::ReuserSlot,
    sockets::overlay::traffic_log::LogSink,
    sockets::random::MaskKeys,
    websocat::scenario::Scenario,
    websocat::scenario::Callback,
    websocat::scenario::TaskHandle,
    websocat::scenario::Handle<sockets::socket::StreamSocket>,
    websocat::scenario::Handle<sockets::socket::DatagramSocket>,
    websocat::scenario::Handle<sockets::stream::BoxStreamRead>,
    websocat::scenario::Handle<sockets::stream::BoxStreamWrite>,
    websocat::scenario::Handle<sockets::datagram::BoxDatagramRead>,
    websocat::scenario::Handle<sockets::datagram::BoxDatagramWrite>,
    websocat::scenario::Handle<sockets::hangup::Hangup>,
    websocat::functions::Addresses,
    websocat::overlays::tls::Connector,
];

#[test]
fn futures_of_async_functions_are_send() {
    use sockets::{endpoint, net, socket::Link, stop::Stop};
    use std::{net::SocketAddr, path::PathBuf};
    gives_send(|link: Link| link.reset());
    gives_send(|stop: Stop| async move { stop.drained().await });
    gives_send(|stop: Stop| async move { stop.aborted().await });
    gives_send(|address: SocketAddr| async move { net::connect::connect(address, &Default::default()).await.is_ok() });
    gives_send(|mut listener: net::listen::Listener| async move { listener.accept().await });
    gives_send(|path: PathBuf| async move { endpoint::file::file_socket(&path, Default::default()).await });
    gives_send(|child: endpoint::process::Child| async move { child.wait().await });
    gives_send(websocat::scenario::run);
}

/// What no test from outside can name, with the reason why it is `Send`.
const INSIDE: &[(&str, Because)] = &[
    // Halves in boxes.
    ("ChoppedDatagramRead", Because::Half),
    ("ChoppedDatagramWrite", Because::Half),
    ("ChoppedRead", Because::Half),
    ("ChoppedWrite", Because::Half),
    ("ChunkSource", Because::Half),
    ("ClientReader", Because::Half),
    ("ClientWriter", Because::Half),
    ("Empty", Because::Half),
    ("FaultyRead", Because::Half),
    ("FaultyWrite", Because::Half),
    ("FileWrite", Because::Half),
    ("HubReader", Because::Half),
    ("HubWriter", Because::Half),
    ("Literal", Because::Half),
    ("Nothing", Because::Half),
    ("PairRead", Because::Half),
    ("PairReader", Because::Half),
    ("PairWrite", Because::Half),
    ("PairWriter", Because::Half),
    ("PolledFd", Because::Half),
    ("Random", Because::Half),
    ("Repeat", Because::Half),
    ("ScriptedRead", Because::Half),
    ("ScriptedWrite", Because::Half),
    ("SeqpacketRead", Because::Half),
    ("SeqpacketWrite", Because::Half),
    ("Sink", Because::Half),
    ("SplitRead", Because::Half),
    ("SplitWrite", Because::Half),
    ("TlsRead", Because::Half),
    ("TlsWrite", Because::Half),
    ("UdpReader", Because::Half),
    ("UdpWriter", Because::Half),
    ("Input", Because::Half),
    ("Output", Because::Half),
    ("SupervisedInput", Because::Half),
    ("SupervisedOutput", Because::Half),
    ("FdRead", Because::Half),
    ("FdWrite", Because::Half),
    ("WriteOnly", Because::Half),
    ("BlockingRead", Because::Half),
    ("BlockingWrite", Because::Half),
    // Values of scripts: the engine takes nothing else (rhai's feature `sync`).
    ("Http1Client", Because::Value),
    ("IncomingRequest", Because::Value),
    ("OutgoingResponse", Because::Value),
    ("Prepared", Because::Value),
    ("Sender", Because::Value),
    // In a list above under another name, or inside one of these.
    ("Task", Because::Value),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Because {
    /// It is a `StreamRead`, `StreamWrite`, `DatagramRead` or `DatagramWrite`, which all ask for `Send`.
    Half,
    /// It is in a `Handle` that a native function takes or gives.
    Value,
}

const HALVES: [&str; 4] = ["StreamRead", "StreamWrite", "DatagramRead", "DatagramWrite"];

/// What the sources say: which types implement what a connection is made of, and what handles hold.
#[derive(Default)]
struct Found {
    halves: BTreeSet<String>,
    /// tokio's traits and futures: nothing about them asks for `Send`.
    unbound: BTreeSet<String>,
    handles: BTreeSet<String>,
}

fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes
        .iter()
        .any(|a| a.path().is_ident("cfg") && a.parse_args::<TokenStream>().is_ok_and(|t| t.to_string() == "test"))
}

fn last_name(path: &syn::Path) -> String {
    path.segments.last().unwrap().ident.to_string()
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_test_only(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let (Some((_, path, _)), syn::Type::Path(of)) = (&item.trait_, &*item.self_ty) {
            let (name, of) = (last_name(path), last_name(&of.path));
            if HALVES.contains(&&*name) {
                self.halves.insert(of);
            } else if ["AsyncRead", "AsyncWrite", "Future"].contains(&&*name) {
                self.unbound.insert(of);
            }
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_type_path(&mut self, path: &'ast syn::TypePath) {
        let last = path.path.segments.last().unwrap();
        if last.ident == "Handle"
            && let syn::PathArguments::AngleBracketed(arguments) = &last.arguments
            && let Some(syn::GenericArgument::Type(syn::Type::Path(of))) = arguments.args.first()
        {
            let name = last_name(&of.path);
            // A letter is a type parameter.
            if name.len() > 1 {
                self.handles.insert(name);
            }
        }
        visit::visit_type_path(self, path);
    }
}

fn read(found: &mut Found, folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !["fuzz", "tests"].contains(&name) {
                read(found, &path);
            }
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            let file = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
            found.visit_file(&file);
        }
    }
}

#[test]
fn the_lists_are_complete() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Found::default();
    for source in ["sockets/src", "websocat/src"] {
        read(&mut found, &crates.join(source));
    }
    assert!(found.halves.len() > 40 && found.unbound.len() > 20 && found.handles.len() > 8, "sources were not read");

    let named = |list: &[&str]| -> BTreeSet<String> {
        list.iter().map(|path| path.rsplit("::").next().unwrap().trim().to_owned()).collect()
    };
    let listed: BTreeSet<String> = &named(MOVED) | &named(SHARED);
    let inside = |because| -> BTreeSet<String> {
        INSIDE.iter().filter(|(_, b)| *b == because).map(|(name, _)| (*name).to_owned()).collect()
    };
    let (halves, values) = (inside(Because::Half), inside(Because::Value));

    let missing: Vec<_> = found.halves.iter().filter(|x| !listed.contains(*x) && !halves.contains(*x)).collect();
    assert!(missing.is_empty(), "halves in no list: {missing:?}");
    // Behind no bound: only the compiler's check counts, unless it is a half as well.
    let loose = |x: &&String| !(listed.contains(*x) || halves.contains(*x) && found.halves.contains(*x));
    let missing: Vec<_> = found.unbound.iter().filter(loose).collect();
    assert!(missing.is_empty(), "futures and streams that no bound makes Send: {missing:?}");
    let missing: Vec<_> = found.handles.iter().filter(|x| !listed.contains(*x) && !values.contains(*x)).collect();
    assert!(missing.is_empty(), "values of handles in no list: {missing:?}");

    let stale: Vec<_> = halves.difference(&found.halves).chain(values.difference(&found.handles)).collect();
    assert!(stale.is_empty(), "no longer in the sources: {stale:?}");
}

#[test]
fn the_bounds_that_the_lists_rely_on_are_there() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = |path: &str| fs::read_to_string(crates.join(path)).unwrap();
    let contracts = [text("sockets/src/stream.rs"), text("sockets/src/datagram.rs")].concat();
    for half in HALVES {
        let line = contracts.lines().find(|line| line.contains(&format!("pub trait {half}:"))).unwrap();
        assert!(line.contains("Send"), "{line}");
    }
    let manifest = text("../Cargo.toml");
    let rhai = manifest.lines().find(|line| line.starts_with("rhai = ")).unwrap();
    assert!(rhai.contains("\"sync\""), "{rhai}");
}
