//! The highest rate at which a UDP relay loses hardly anything: datagrams go in at a steady pace and are counted where they
//! come out; the pace is searched by doubling, then by halving the interval.
//!
//! One thread sends and receives, both in batches of one system call (sendmmsg, recvmmsg), so that on two cores the relay
//! has one to itself. Each millisecond has its share of datagrams, which no relay may answer for with its own pace.

use crate::{Result, arguments::Arguments, cpu::Reading, handshake::PATIENCE};
use std::{
    io,
    net::UdpSocket,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

/// Datagrams of one system call.
const BATCH: usize = 64;
/// Between two batches of datagrams.
const TICK: Duration = Duration::from_micros(500);
/// How long one pace is kept up.
const TRIAL: Duration = Duration::from_millis(500);
/// What still comes after the last datagram was sent comes within this time.
const SETTLE: Duration = Duration::from_millis(100);
/// Most that may be lost.
const LOSS: f64 = 0.001;
/// Halvings of the interval: 2 % of the rate, finer than rounds differ.
const STEPS: usize = 5;
/// A pace that fails may have met with something else on the machine.
const TRIES: usize = 2;

struct Wire {
    source: UdpSocket,
    sink: UdpSocket,
    payload: Vec<u8>,
    room: Vec<u8>,
}

/// What came of one pace.
struct Trial {
    sent: u64,
    received: u64,
    seconds: f64,
}

impl Trial {
    fn rate(&self) -> f64 {
        self.sent as f64 / self.seconds
    }

    fn is_good(&self) -> bool {
        (self.sent - self.received) as f64 <= self.sent as f64 * LOSS
    }
}

impl Wire {
    fn iovecs(buffer: &mut [u8], size: usize) -> [libc::iovec; BATCH] {
        std::array::from_fn(|i| {
            let at = (i * size).min(buffer.len() - size);
            libc::iovec { iov_base: buffer[at..at + size].as_mut_ptr().cast(), iov_len: size }
        })
    }

    fn headers(iovecs: &mut [libc::iovec; BATCH]) -> [libc::mmsghdr; BATCH] {
        std::array::from_fn(|i| {
            // SAFETY: all zeros is a header without address, buffers and control data.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            (header.msg_hdr.msg_iov, header.msg_hdr.msg_iovlen) = (&raw mut iovecs[i], 1);
            header
        })
    }

    /// Sends up to `count` datagrams, returns how many.
    fn send(&mut self, count: usize) -> Result<usize> {
        let size = self.payload.len();
        let mut iovecs = Self::iovecs(&mut self.payload, size);
        let mut headers = Self::headers(&mut iovecs);
        let count = count.min(BATCH) as libc::c_uint;
        // SAFETY: the headers point to buffers that live across the call and are only read.
        let sent = unsafe { libc::sendmmsg(self.source.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
        match usize::try_from(sent) {
            Ok(sent) => Ok(sent),
            Err(_) => match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
                e => Err(format!("the relay does not take datagrams: {e}").into()),
            },
        }
    }

    /// Receives what is there, at most one batch, returns how many.
    fn receive(&mut self) -> Result<usize> {
        let size = self.payload.len() + 1;
        let mut iovecs = Self::iovecs(&mut self.room, size);
        let mut headers = Self::headers(&mut iovecs);
        let (fd, flags) = (self.sink.as_raw_fd(), libc::MSG_DONTWAIT);
        // SAFETY: the headers point to buffers that live across the call and do not overlap.
        let got = unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), BATCH as u32, flags, std::ptr::null_mut()) };
        let Ok(got) = usize::try_from(got) else {
            return match io::Error::last_os_error() {
                e if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
                e => Err(e.into()),
            };
        };
        for (i, header) in headers[..got].iter().enumerate() {
            let datagram = &self.room[i * size..][..header.msg_len as usize];
            if datagram != self.payload {
                return Err("the relay changed a datagram".into());
            }
        }
        Ok(got)
    }

    fn trial(&mut self, rate: f64) -> Result<Trial> {
        let start = Instant::now();
        let (mut sent, mut received, mut tick) = (0_u64, 0_u64, 1);
        while start.elapsed() < TRIAL {
            let due = (rate * TICK.as_secs_f64() * f64::from(tick)) as u64;
            while sent < due && start.elapsed() < TRIAL {
                let n = self.send((due - sent) as usize)?;
                sent += n as u64;
                received += self.receive()? as u64;
            }
            while start.elapsed() < TICK * tick {
                received += self.receive()? as u64;
            }
            tick += 1;
        }
        let seconds = start.elapsed().as_secs_f64();
        let mut last = Instant::now();
        while last.elapsed() < SETTLE {
            let n = self.receive()?;
            if n > 0 {
                (received, last) = (received + n as u64, Instant::now());
            }
        }
        Ok(Trial { sent, received, seconds })
    }

    /// The trial at this pace, a good one if one of some is.
    fn best(&mut self, rate: f64) -> Result<Trial> {
        let mut trial = self.trial(rate)?;
        for _ in 1..TRIES {
            if trial.is_good() {
                break;
            }
            trial = self.trial(rate)?;
        }
        Ok(trial)
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let (port, listen): (u16, u16) = (arguments.required("port")?, arguments.required("listen")?);
    let (pid, size) = (arguments.optional("pid")?, arguments.or("size", 200)?);
    let sink = UdpSocket::bind(("127.0.0.1", listen))?;
    socket2::SockRef::from(&sink).set_recv_buffer_size(8 << 20)?;
    let source = UdpSocket::bind("127.0.0.1:0")?;
    source.connect(("127.0.0.1", port))?;
    let payload: Vec<u8> = (0..size).map(|i| (i * 7) as u8).collect();
    let room = vec![0; (size + 1) * BATCH];
    let mut wire = Wire { source, sink, payload, room };

    // Until it listens nothing comes through, and the system may say so.
    let begin = Instant::now();
    let mut through = 0;
    while through == 0 {
        if begin.elapsed() > PATIENCE {
            return Err("nothing comes through the relay".into());
        }
        let _ = wire.send(1);
        std::thread::sleep(Duration::from_millis(20));
        through = wire.receive()?;
    }
    std::thread::sleep(SETTLE);
    while wire.receive()? > 0 {}

    let (mut good, mut bad, mut best) = (0.0, 20_000.0, None);
    loop {
        let trial = wire.best(bad)?;
        let reached = trial.rate();
        if !trial.is_good() {
            break;
        }
        // A generator that is not fast enough is the end of the search, and the figure says less than it could.
        let own_limit = reached < bad * 0.97;
        (good, best) = (reached, Some(trial));
        if own_limit {
            bad = good;
            break;
        }
        bad *= 2.0;
    }
    for _ in 0..STEPS {
        if bad - good < good * 0.02 {
            break;
        }
        let middle = (good + bad) / 2.0;
        let trial = wire.best(middle)?;
        if trial.is_good() {
            (good, best) = (trial.rate().max(good), Some(trial));
        } else {
            bad = middle;
        }
    }
    if best.is_none() {
        return Err("the relay loses datagrams at 20,000 a second".into());
    }
    // What that rate costs.
    let before = Reading::take(pid)?;
    let trial = wire.trial(good)?;
    let spent = before.spent_until(&Reading::take(pid)?);
    println!("rate {good:.0}");
    if let Some(server) = spent.server {
        println!("server_us_per_datagram {:.4}", server * 1e6 / trial.received.max(1) as f64);
    }
    Ok(())
}
