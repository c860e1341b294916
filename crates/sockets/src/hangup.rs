//! Hangup signals: a future that resolves when whoever stands behind a socket is gone.
//!
//! A hangup ends the exchange at once; it is not an error. Sources are timeouts, child exits, scripts. A TCP reset is not a
//! hangup: see [`crate::socket::Link`].

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Resolves once, when the other side hung up.
pub struct Hangup(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Hangup {
    pub fn new(signal: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Box::pin(signal))
    }

    /// A hangup that has happened already.
    pub fn now() -> Self {
        Self::new(std::future::ready(()))
    }

    /// Fires when the first of both does.
    pub fn either(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        match (a, b) {
            (Some(mut a), Some(mut b)) => {
                Some(Self::new(std::future::poll_fn(move |cx| match Pin::new(&mut a).poll(cx) {
                    Poll::Ready(()) => Poll::Ready(()),
                    Poll::Pending => Pin::new(&mut b).poll(cx),
                })))
            }
            (a, b) => a.or(b),
        }
    }
}

impl Future for Hangup {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Hangup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hangup")
    }
}
