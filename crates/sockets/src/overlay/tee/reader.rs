//! Reading from several sockets: whole messages, in turn.

use super::{Shared, TeeError, TeeOptions, of_whole};
use crate::{
    datagram::{BoxDatagramRead, DatagramRead, Flags},
    hangup::Hangup,
    info::SocketInfo,
};
use std::{
    io,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

/// One socket's reader.
pub struct Node {
    /// None when it has ended, or never was.
    read: Option<BoxDatagramRead>,
    info: Arc<SocketInfo>,
    /// Its end is waited for: it may say something.
    counts: bool,
}

impl Node {
    pub fn new(read: Option<BoxDatagramRead>, info: Arc<SocketInfo>, counts: bool) -> Self {
        Self { read, info, counts }
    }

    pub fn lives(&self) -> bool {
        self.read.is_some()
    }
}

/// What is announced.
#[derive(Clone, Copy)]
enum Announced {
    /// A chunk of this node.
    Chunk(usize, Flags),
    /// An empty chunk that ends a torn message.
    Mend(Flags),
    Eof(Flags),
}

/// Read half of a tee.
///
/// Pending: no socket has anything, or the one that is inside a message has not. EOF: after that of the last socket that
/// counts, with what it said, or after the first one, as the options want. Drop midway: drops all sockets' readers. After an
/// error reading is over.
pub struct TeeReader {
    nodes: Vec<Node>,
    options: TeeOptions,
    shared: Arc<Shared>,
    info: Arc<SocketInfo>,
    /// Whose turn it is.
    next: usize,
    /// Inside a message of this node, with its flags.
    midway: Option<(usize, Flags)>,
    announced: Option<Announced>,
    /// Nothing more comes but the end, and what so many of the others, one after another, have ready.
    over: bool,
    turns: usize,
    /// What the last node that ended said.
    body: Vec<u8>,
    /// What the writer was told to wake.
    waker: Option<Waker>,
    _hangups: Vec<Hangup>,
}

impl TeeReader {
    pub(super) fn new(
        nodes: Vec<Node>,
        options: TeeOptions,
        shared: Arc<Shared>,
        info: Arc<SocketInfo>,
        hangups: Vec<Hangup>,
    ) -> Self {
        let (next, midway, announced, over, turns, body) = (0, None, None, false, 0, Vec::new());
        Self {
            nodes,
            options,
            shared,
            info,
            next,
            midway,
            announced,
            over,
            turns,
            body,
            waker: None,
            _hangups: hangups,
        }
    }

    /// The end of all. If the main peer has left the others are not worth going on for.
    fn end(&mut self) -> Announced {
        if let Some(main) = self.nodes.first()
            && let Some(ending) = main.info.ending.get()
        {
            // Of several sockets the main one counts for the exit status. A second end changes nothing.
            let _ = self.info.ending.set(ending.clone());
        }
        let gone =
            if self.shared.gone.is_true_of(0) || self.shared.gone.is_true_of_all() { Flags::GONE } else { Flags::NONE };
        Announced::Eof(Flags::EOF | gone)
    }

    /// A node has no more. What is announced for that, if anything.
    fn node_ended(&mut self, node: usize, error: Option<io::Error>) -> io::Result<Option<Announced>> {
        if let Some(ended) = self.nodes.get_mut(node) {
            ended.read = None;
        }
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, TimedOut};
        // Whoever only broke a rule, or off, may still take what is written, and a good-bye.
        if let Some(ConnectionReset | ConnectionAborted | TimedOut) = error.as_ref().map(io::Error::kind) {
            self.shared.failed.tell(node);
        }
        let torn = self.midway.take_if(|(midway, _)| *midway == node).map(|(_, flags)| flags - Flags::PARTIAL);
        let last = !self.nodes.iter().any(|node| node.counts && node.lives());
        self.over = last || self.options.propagate_eofs && error.is_none();
        let goes_on = |error: Option<io::Error>| {
            if let (Some(error), Some(node)) = (error, self.nodes.get(node)) {
                tracing::warn!("tee: goes on without {}: {error}", node.info.describe());
            }
        };
        match (error, torn) {
            (Some(error), _) if self.options.fail_reads => Err(of_whole(error)),
            (error, Some(flags)) if self.options.tolerate_torn => {
                goes_on(error);
                // It was not their turn while that message was under way.
                self.turns = if self.over { self.nodes.len() } else { 0 };
                Ok(Some(Announced::Mend(flags)))
            }
            (Some(error), Some(_)) => Err(of_whole(error)),
            (None, Some(_)) => Err(TeeError::Torn.into()),
            (Some(error), None) if last => Err(of_whole(error)),
            (None, None) if self.over => Ok(Some(self.end())),
            (error, None) => {
                goes_on(error);
                Ok(None)
            }
        }
    }

    fn poll_node(&mut self, cx: &mut Context<'_>, i: usize, max: usize) -> Poll<io::Result<Option<Announced>>> {
        let Some(read) = self.nodes.get_mut(i).and_then(|node| node.read.as_mut()) else {
            return Poll::Ready(Ok(None));
        };
        Poll::Ready(match ready!(read.poll_chunk(cx, max)) {
            Ok(flags) if flags.any(Flags::EOF) => {
                self.body.clear();
                self.body.extend_from_slice(read.chunk_mut());
                if flags.any(Flags::GONE) {
                    self.shared.gone.tell(i);
                }
                self.node_ended(i, None)
            }
            Ok(flags) => Ok(Some(Announced::Chunk(i, flags))),
            Err(error) => {
                self.body.clear();
                self.node_ended(i, Some(error))
            }
        })
    }

    /// What is to be announced next.
    fn poll_next(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Announced>> {
        if self.shared.let_go.any(cx, &mut self.waker) {
            for i in 0..self.nodes.len() {
                let lives = self.nodes.get(i).is_some_and(Node::lives);
                if lives
                    && self.shared.let_go.is_true_of(i)
                    && let Some(announced) = self.node_ended(i, None)?
                {
                    return Poll::Ready(Ok(announced));
                }
            }
        }
        loop {
            if let Some((node, _)) = self.midway {
                if let Some(announced) = ready!(self.poll_node(cx, node, max))? {
                    return Poll::Ready(Ok(announced));
                }
                continue; // it has ended, and others have not
            }
            let (n, first) = (self.nodes.len(), self.next);
            if self.over {
                if self.turns == 0 || n == 0 {
                    return Poll::Ready(Ok(self.end()));
                }
                (self.turns, self.next) = (self.turns - 1, first % n + 1);
                if let Poll::Ready(announced) = self.poll_node(cx, first % n, max)
                    && let Some(announced) = announced?
                {
                    return Poll::Ready(Ok(announced));
                }
                continue;
            }
            let mut pending = false;
            for i in (first..n).chain(0..first.min(n)) {
                match self.poll_node(cx, i, max) {
                    Poll::Ready(Ok(Some(announced))) => return Poll::Ready(Ok(announced)),
                    Poll::Ready(Ok(None)) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => pending = true,
                }
            }
            return if pending { Poll::Pending } else { Poll::Ready(Ok(self.end())) };
        }
    }
}

impl DatagramRead for TeeReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        let announced = match self.announced {
            Some(announced) => announced,
            None => match ready!(self.poll_next(cx, max)) {
                Ok(announced) => *self.announced.insert(announced),
                Err(error) => {
                    // After an error there is nothing more, from nobody.
                    self.nodes.iter_mut().for_each(|node| node.read = None);
                    self.midway = None;
                    return Poll::Ready(Err(error));
                }
            },
        };
        let (Announced::Chunk(_, flags) | Announced::Mend(flags) | Announced::Eof(flags)) = announced;
        Poll::Ready(Ok(flags))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        match self.announced {
            Some(Announced::Chunk(i, _)) => {
                self.nodes.get_mut(i).and_then(|node| node.read.as_mut()).map_or(&mut [], |read| read.chunk_mut())
            }
            Some(Announced::Eof(_)) => &mut self.body,
            Some(Announced::Mend(_)) | None => &mut [],
        }
    }

    fn consume(&mut self) {
        let Some(Announced::Chunk(i, flags)) = self.announced else {
            self.announced.take_if(|announced| matches!(announced, Announced::Mend(_)));
            return;
        };
        self.announced = None;
        if let Some(read) = self.nodes.get_mut(i).and_then(|node| node.read.as_mut()) {
            read.consume();
        }
        if !flags.any(Flags::CONTROL) {
            let kept = Flags::from_bits(flags.bits() & (Flags::TEXT | Flags::PARTIAL).bits());
            self.midway = flags.any(Flags::PARTIAL).then_some((i, kept));
        }
        if self.midway.is_none() {
            self.next = i + 1;
        }
    }

    fn for_each_inner(&mut self, visit: &mut dyn FnMut(&mut dyn DatagramRead)) {
        for read in self.nodes.iter_mut().filter_map(|node| node.read.as_mut()) {
            visit(&mut **read);
        }
    }

    fn parts_suffice(&mut self) {
        for read in self.nodes.iter_mut().filter_map(|node| node.read.as_mut()) {
            read.parts_suffice();
        }
    }
}
