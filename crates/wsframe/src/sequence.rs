//! What may follow what (RFC 6455 5.4): a message is a first frame, any continuations, and ends with FIN.
//!
//! Two small Copy machines: [`Sequence`] judges frames that came in, [`SendSequence`] says which opcode goes out. Control
//! frames pass through both without changing them. Being Copy, they can be tried on a copy and kept on success only, which
//! is how the decoder looks at a header twice while the rest of the frame is still on its way.

use crate::{Error, Opcode};

/// Order of the frames received.
///
/// ```
/// use wsframe::{Error, Opcode, Sequence};
/// let mut sequence = Sequence::new();
/// assert_eq!(sequence.accept(Opcode::Text, false), Ok(Opcode::Text));
/// assert_eq!(sequence.accept(Opcode::Ping, true), Ok(Opcode::Ping));
/// assert_eq!(sequence.accept(Opcode::Continuation, true), Ok(Opcode::Text));
/// assert_eq!(sequence.accept(Opcode::Continuation, true), Err(Error::UnexpectedContinuation));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// Text or Binary: the message that waits for further frames.
    open: Option<Opcode>,
}

impl Sequence {
    /// No message is open.
    pub const fn new() -> Self {
        Self { open: None }
    }

    /// Takes the next frame; returns what it belongs to: the opcode of its message, or its own for a control frame.
    ///
    /// On errors the state stays as it was.
    #[inline]
    pub fn accept(&mut self, opcode: Opcode, fin: bool) -> Result<Opcode, Error> {
        //= 6455-5.4-3
        //= 6455-5.4-7
        if opcode.is_control() {
            //= 6455-5.4-4
            //= 6455-5.5-2
            return if fin { Ok(opcode) } else { Err(Error::ControlFragmented) };
        }
        //= 6455-5.2-1
        //= 6455-5.4-2
        //= 6455-5.4-6
        //= 6455-5.4-9
        //= 6455-6.2-3
        let message = match (opcode, self.open) {
            (Opcode::Continuation, Some(message)) => message,
            (Opcode::Continuation, None) => return Err(Error::UnexpectedContinuation),
            (_, Some(_)) => return Err(Error::InterruptedMessage),
            (first, None) => first,
        };
        self.open = if fin { None } else { Some(message) };
        Ok(message)
    }

    /// A message has begun and its last frame has not come yet.
    #[inline]
    pub const fn mid_message(&self) -> bool {
        self.open.is_some()
    }
}

/// Opcodes of the frames to send, one frame per chunk.
///
/// ```
/// use wsframe::{Opcode, SendSequence};
/// let mut sequence = SendSequence::new();
/// assert_eq!(sequence.next_opcode(true, false), Opcode::Text);
/// assert_eq!(sequence.next_opcode(true, true), Opcode::Continuation);
/// assert_eq!(sequence.next_opcode(false, true), Opcode::Binary);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendSequence {
    midway: bool,
}

impl SendSequence {
    /// No message is open.
    pub const fn new() -> Self {
        Self { midway: false }
    }

    /// The opcode for the next chunk: `text` and `fin` are the chunk's. Midway through a message `text` does not matter,
    /// as a message keeps the type that it began with.
    #[inline]
    pub fn next_opcode(&mut self, text: bool, fin: bool) -> Opcode {
        //= 6455-5.4-14
        //= 6455-6.1-5
        let opcode = match (self.midway, text) {
            (true, _) => Opcode::Continuation,
            (false, true) => Opcode::Text,
            (false, false) => Opcode::Binary,
        };
        self.midway = !fin;
        opcode
    }

    /// A message was begun and its last chunk has not been asked for yet.
    #[inline]
    pub const fn mid_message(&self) -> bool {
        self.midway
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Opcode::*;

    //= 6455-5.2-1 test
    //= 6455-5.4-2 test
    //= 6455-5.4-3 test
    //= 6455-5.4-4 test
    //= 6455-5.4-6 test
    //= 6455-5.4-9 test
    //= 6455-5.5-2 test
    //= 6455-6.2-3 test
    #[test]
    fn every_frame_in_every_state() {
        let idle = Sequence::new();
        let text = Sequence { open: Some(Text) };
        let binary = Sequence { open: Some(Binary) };
        let cases = [
            (idle, Text, true, Ok(Text), idle),
            (idle, Text, false, Ok(Text), text),
            (idle, Binary, true, Ok(Binary), idle),
            (idle, Binary, false, Ok(Binary), binary),
            (idle, Continuation, true, Err(Error::UnexpectedContinuation), idle),
            (idle, Continuation, false, Err(Error::UnexpectedContinuation), idle),
            (text, Continuation, true, Ok(Text), idle),
            (text, Continuation, false, Ok(Text), text),
            (binary, Continuation, true, Ok(Binary), idle),
            (binary, Continuation, false, Ok(Binary), binary),
            (text, Text, true, Err(Error::InterruptedMessage), text),
            (text, Text, false, Err(Error::InterruptedMessage), text),
            (text, Binary, true, Err(Error::InterruptedMessage), text),
            (text, Binary, false, Err(Error::InterruptedMessage), text),
            (binary, Text, true, Err(Error::InterruptedMessage), binary),
            (binary, Text, false, Err(Error::InterruptedMessage), binary),
            (binary, Binary, true, Err(Error::InterruptedMessage), binary),
            (binary, Binary, false, Err(Error::InterruptedMessage), binary),
        ];
        for (before, opcode, fin, result, after) in cases {
            let mut sequence = before;
            assert_eq!((sequence.accept(opcode, fin), sequence), (result, after), "{before:?} {opcode:?} {fin}");
        }
        for before in [idle, text, binary] {
            assert_eq!(before.mid_message(), before != idle);
            for opcode in [Close, Ping, Pong] {
                let mut sequence = before;
                assert_eq!((sequence.accept(opcode, true), sequence), (Ok(opcode), before));
                assert_eq!((sequence.accept(opcode, false), sequence), (Err(Error::ControlFragmented), before));
            }
        }
    }

    //= 6455-5.4-14 test
    //= 6455-6.1-5 test
    #[test]
    fn only_the_first_chunk_says_the_type() {
        let mut sequence = SendSequence::new();
        let cases = [
            (true, true, Text),
            (false, true, Binary),
            (true, false, Text),
            (false, false, Continuation),
            (true, true, Continuation),
            (false, false, Binary),
            (true, true, Continuation),
            (true, true, Text),
        ];
        for (text, fin, opcode) in cases {
            assert_eq!(sequence.next_opcode(text, fin), opcode);
            assert_eq!(sequence.mid_message(), !fin);
        }
    }
}
