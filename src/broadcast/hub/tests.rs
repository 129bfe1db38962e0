//! Each state of a viewer, and what leads from one to the next.

use std::{cell::RefCell, rc::Rc};

use super::*;
use crate::domain::access::Sight;

/// A session in a test's hands.
#[derive(Clone)]
struct Fake {
    got: Rc<RefCell<Vec<Deliver>>>,
    gone: Rc<RefCell<bool>>,
    cut: Rc<RefCell<bool>>,
    pulse: Arc<Pulse>,
}

impl Fake {
    fn new() -> Fake {
        Fake {
            got: Rc::default(),
            gone: Rc::default(),
            cut: Rc::default(),
            pulse: Arc::new(Pulse::new(0)),
        }
    }

    /// Takes everything that waits.
    fn take(&self) -> Vec<Deliver> {
        let got = self.got.take();
        got.iter().for_each(|_| self.pulse.took());
        got
    }
}

impl Outlet for Fake {
    fn offer(&self, what: Deliver) -> Result<(), OfferError> {
        if *self.gone.borrow() {
            return Err(OfferError::Gone);
        }
        self.got.borrow_mut().push(what);
        Ok(())
    }

    fn cut(&self) {
        *self.cut.borrow_mut() = true;
    }
}

/// A pass that holds for ever.
fn open_pass() -> Pass {
    Pass::new(Sight::Everything, || true)
}

fn hub() -> Hub<Fake> {
    Hub::new(ViewerLimits {
        mailbox_frames: 3,
        slow_timeout_ms: 5_000,
        silence_timeout_ms: 30_000,
        close_timeout_ms: 1_000,
    })
}

fn frame(n: u64) -> WireFrame {
    WireFrame::new(&n.to_string())
}

/// A frame for those who see everything alone.
fn texts(n: u64) -> Texts {
    BySight::from_fn(|sight| sight.sees_money().then(|| frame(n)))
}

fn delta(n: u64) -> Deliver {
    Deliver::Frame(frame(n))
}

/// A viewer that has its first snapshot.
fn follower(hub: &mut Hub<Fake>, id: ViewerId) -> Fake {
    let fake = Fake::new();
    hub.join(id, fake.clone(), fake.pulse.clone(), open_pass(), 0);
    hub.follow(id, delta(0));
    assert_eq!(fake.take(), [delta(0)]);
    fake
}

#[test]
fn a_slow_viewer_gets_nothing_until_it_has_room_and_then_a_snapshot() {
    let mut hub = hub();
    let (slow, quick) = (follower(&mut hub, 1), follower(&mut hub, 2));
    for n in 1..=6 {
        hub.send(&texts(n), false, n);
        assert_eq!(quick.take(), [delta(n)]);
        assert!(!hub.wants_snapshot()[Sight::Everything]);
    }
    assert_eq!(hub.waiting(), [3, 3]);
    assert_eq!(slow.take(), [delta(1), delta(2), delta(3)]);
    assert_eq!(hub.waiting(), [0, 0]);
    assert!(hub.wants_snapshot()[Sight::Everything]);
    hub.serve_snapshot(&texts(6));
    hub.send(&texts(7), false, 7);
    assert_eq!(slow.take(), [delta(6), delta(7)]);
    assert_eq!(quick.take(), [delta(7)]);
}

#[test]
fn a_viewer_that_stays_slow_is_told_and_then_cut() {
    let mut hub = hub();
    let stuck = follower(&mut hub, 1);
    (1..=4).for_each(|n| hub.send(&texts(n), false, 100));
    assert_eq!(hub.judge(5_100), 0);
    assert_eq!(hub.judge(5_101), 1);
    let last = stuck.got.borrow().last().cloned();
    assert_eq!(last, Some(Deliver::Close(CloseCode::Again, "too slow; reconnect later")));
    assert_eq!(hub.judge(6_100), 0);
    assert!(!*stuck.cut.borrow());
    assert!(stuck.pulse.is_closing());
    // It is cut even if its session has ended at once, since its connection may go on.
    hub.leave(1);
    assert_eq!(hub.judge(6_101), 0);
    assert!(*stuck.cut.borrow());
    assert_eq!(hub.len(), 0);
}

#[test]
fn a_viewer_that_answers_no_ping_is_closed() {
    let mut hub = hub();
    let (silent, alive) = (follower(&mut hub, 1), follower(&mut hub, 2));
    alive.pulse.heard(20_000);
    assert_eq!(hub.judge(30_000), 0);
    assert_eq!(hub.judge(30_001), 1);
    assert_eq!(silent.take(), [Deliver::Close(CloseCode::Policy, "no pong")]);
    assert_eq!(alive.take(), []);
}

#[test]
fn a_snapshot_to_all_serves_newcomers_and_the_slow_that_have_room() {
    let mut hub = hub();
    let (newcomer, slow) = (Fake::new(), follower(&mut hub, 2));
    hub.join(1, newcomer.clone(), newcomer.pulse.clone(), open_pass(), 0);
    (1..=4).for_each(|n| hub.send(&texts(n), false, 0));
    hub.send(&texts(5), true, 0);
    assert_eq!(newcomer.take(), [delta(5)]);
    assert_eq!(slow.take(), [delta(1), delta(2), delta(3)]);
    hub.send(&texts(6), true, 0);
    assert_eq!(slow.take(), [delta(6)]);
    assert_eq!(newcomer.take(), [delta(6)]);
}

#[test]
fn a_resumed_viewer_that_missed_nothing_follows_at_once() {
    let mut hub = hub();
    let back = Fake::new();
    hub.join(1, back.clone(), back.pulse.clone(), open_pass(), 0);
    hub.follow(1, Deliver::Missed(vec![]));
    assert!(!hub.wants_snapshot()[Sight::Everything]);
    hub.send(&texts(1), false, 0);
    assert_eq!(back.take(), [delta(1)]);
}

#[test]
fn who_has_gone_is_forgotten() {
    let mut hub = hub();
    let gone = follower(&mut hub, 1);
    *gone.gone.borrow_mut() = true;
    hub.send(&texts(1), false, 0);
    assert_eq!(hub.len(), 0);
}

#[test]
fn a_shutdown_tells_all_in_batches_and_cuts_who_is_left() {
    let mut hub = hub();
    let fakes: Vec<_> = (0..5).map(|id| follower(&mut hub, id)).collect();
    hub.close_some(3, 1_000);
    let told = |fakes: &[Fake]| fakes.iter().filter(|f| !f.got.borrow().is_empty()).count();
    assert_eq!(told(&fakes), 3);
    hub.close_some(3, 1_000);
    assert_eq!(told(&fakes), 5);
    hub.close_some(3, 1_000);
    assert!(fakes.iter().all(|fake| fake.got.borrow().len() == 1), "told once");
    (0..4).for_each(|id| hub.leave(id));
    assert_eq!(hub.cut_all(), 1);
    assert!(*fakes[4].cut.borrow());
}

#[test]
fn a_viewer_whose_pass_holds_no_more_is_told_and_then_cut() {
    let mut hub = hub();
    let stays = follower(&mut hub, 1);
    let holds = Arc::new(AtomicBool::new(true));
    let asked = holds.clone();
    let pass = Pass::new(Sight::Everything, move || asked.load(Ordering::Relaxed));
    let leaves = Fake::new();
    hub.join(2, leaves.clone(), leaves.pulse.clone(), pass, 0);
    hub.follow(2, delta(0));
    hub.expel(0);
    assert_eq!(leaves.take(), [delta(0)]);
    holds.store(false, Ordering::Relaxed);
    hub.expel(1_000);
    hub.expel(1_500);
    hub.send(&texts(1), false, 1_500);
    assert_eq!(leaves.take(), [Deliver::Close(CloseCode::Policy, "access has ended")]);
    assert_eq!(stays.take(), [delta(1)]);
    hub.judge(2_000);
    assert!(*leaves.cut.borrow() && !*stays.cut.borrow());
}

#[test]
fn each_viewer_gets_the_text_of_its_sight_and_no_other() {
    let mut hub = hub();
    let full = follower(&mut hub, 1);
    assert!(!hub.watched()[Sight::NoMoney]);
    let veiled = Fake::new();
    let pass = Pass::new(Sight::NoMoney, || true);
    hub.join(2, veiled.clone(), veiled.pulse.clone(), pass, 0);
    assert!(hub.watched()[Sight::NoMoney]);
    let wanted = hub.wants_snapshot();
    assert!(wanted[Sight::NoMoney] && !wanted[Sight::Everything]);
    // A snapshot for others is not for it, nor is a frame.
    hub.serve_snapshot(&texts(1));
    hub.send(&texts(1), true, 0);
    assert_eq!((full.take(), veiled.take()), (vec![delta(1)], vec![]));
    let both = |n| BySight::from_fn(|sight| Some(frame(n + 100 * sight as u64)));
    hub.serve_snapshot(&both(1));
    assert_eq!((full.take(), veiled.take()), (vec![], vec![delta(101)]));
    hub.send(&both(2), false, 0);
    assert_eq!((full.take(), veiled.take()), (vec![delta(2)], vec![delta(102)]));
    // Where a text is missing, nothing takes its place, and a snapshot has to follow.
    hub.send(&texts(3), false, 0);
    assert_eq!((full.take(), veiled.take()), (vec![delta(3)], vec![]));
    assert!(hub.wants_snapshot()[Sight::NoMoney]);
}
