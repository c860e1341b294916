//! Whose the halves of a socket are, where they came from other sockets.
//!
//! Filters and split sockets are made by swapping and combining halves. What is known of a half has to come along with it:
//! messages name what really failed, and an exchange has to know what it writes to. It is kept in the socket's record
//! ([`SocketInfo::owners`]) since it is rare; sockets whose halves are their own have nothing there.

use crate::info::SocketInfo;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What a half belongs to.
#[derive(Clone, Debug)]
pub struct Owner {
    pub info: Arc<SocketInfo>,
    /// A kernel socket that can be reset is below.
    pub linked: bool,
}

/// A half that was lent to another socket. Two sockets that swap halves know of each other: only one that has nobody else to
/// keep its record alive is kept.
#[derive(Debug)]
struct Lent {
    info: Weak<SocketInfo>,
    _kept: Option<Arc<SocketInfo>>,
    linked: bool,
}

/// Owners of the halves that are not the socket's own. A clone has none: it is the record of another socket.
#[derive(Debug, Default)]
pub struct Owners(Mutex<Option<Box<Halves>>>);

#[derive(Debug, Default)]
struct Halves {
    read: Option<Lent>,
    write: Option<Lent>,
}

impl Clone for Owners {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// One of the halves of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    Read,
    Write,
}

impl Owners {
    fn lock(&self) -> MutexGuard<'_, Option<Box<Halves>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SocketInfo {
    /// Another socket's record if this half came from one whose record still exists.
    pub fn lender(&self, half: Half) -> Option<Owner> {
        let halves = self.owners.lock();
        let lent = match half {
            Half::Read => halves.as_ref()?.read.as_ref()?,
            Half::Write => halves.as_ref()?.write.as_ref()?,
        };
        Some(Owner { info: lent.info.upgrade()?, linked: lent.linked })
    }

    /// What a half of the socket with this record belongs to; `linked`: the socket itself has a kernel socket below.
    pub fn owner(self: &Arc<Self>, half: Half, linked: bool) -> Owner {
        self.lender(half).unwrap_or_else(|| Owner { info: self.clone(), linked })
    }

    /// This half is that of `owner` from now on. `keep`: nobody else keeps its record; it must not know of this one.
    pub fn set_owner(self: &Arc<Self>, half: Half, owner: &Owner, keep: bool) {
        let lent = (!Arc::ptr_eq(self, &owner.info)).then(|| Lent {
            info: Arc::downgrade(&owner.info),
            _kept: keep.then(|| owner.info.clone()),
            linked: owner.linked,
        });
        let mut halves = self.owners.lock();
        if lent.is_none() && halves.is_none() {
            return;
        }
        let halves = halves.get_or_insert_default();
        match half {
            Half::Read => halves.read = lent,
            Half::Write => halves.write = lent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_follow_their_halves_and_nothing_is_kept_by_a_circle() {
        let infos: [_; 2] =
            ["a", "b"].map(|name| Arc::new(SocketInfo { specifier: Some(name.into()), ..SocketInfo::default() }));
        let [a, b] = &infos;
        let name = |info: &Arc<SocketInfo>, half| info.owner(half, true).info.describe();
        assert!(a.lender(Half::Write).is_none() && name(a, Half::Write) == "a");
        let [of_a, of_b] = [a.owner(Half::Write, true), b.owner(Half::Write, false)];
        a.set_owner(Half::Write, &of_b, false);
        b.set_owner(Half::Write, &of_a, false);
        assert_eq!(
            (name(a, Half::Write), name(b, Half::Write), name(a, Half::Read)),
            ("b".into(), "a".into(), "a".into())
        );
        assert!(!a.owner(Half::Write, true).linked && b.owner(Half::Write, false).linked);
        // A clone is another socket's.
        assert!(SocketInfo::clone(a).lender(Half::Write).is_none());
        // And back.
        a.set_owner(Half::Write, &of_a, false);
        assert_eq!(name(a, Half::Write), "a");
        drop((of_a, of_b));
        let [a, b] = infos.map(|info| {
            let weak = Arc::downgrade(&info);
            drop(info);
            weak
        });
        assert!(a.upgrade().is_none() && b.upgrade().is_none());
    }
}
