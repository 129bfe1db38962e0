//! How an HTTP worker hands requests to the ingest actor. Many requests go in one message, and
//! their answers come back in one message.
//!
//! A message to another thread wakes that thread, which costs a system call on this side and a
//! switch of threads on the other. For a request of one event, that is as much as reading it. So
//! all requests that one round of polling has brought go as one message. An idle server sends one
//! request a message; a busy one sends many.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use actix::Recipient;
use tokio::sync::oneshot;

use super::{
    Accepted, Answer, NotTaken, Request,
    messages::Append,
    permits::{QueueLimit, QueuePermits},
};

/// Why a request is not on disk, or not known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAppended {
    /// As many requests as `ingest.queue_requests` allows wait already. Nothing of this one is
    /// stored or counted.
    #[error("too many requests wait to be written")]
    Overloaded,
    /// The ingest actor has ended.
    #[error("the server is stopping")]
    Stopping,
    /// The ingest actor has not taken the request in.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
}

/// One worker's side of the way to the ingest actor. It stays on the worker's thread.
#[derive(Clone)]
pub struct HandOver(Rc<Worker>);

/// What the clones of one worker's [`HandOver`] share.
struct Worker {
    ingest: Recipient<Append>,
    limit: QueueLimit,
    /// The message that gathers requests now.
    next: RefCell<NextMessage>,
    /// Whether a task is under way that sends `next` once this round of polling is over.
    called: Cell<bool>,
}

/// A message that gathers requests, and those who wait for its answers.
struct NextMessage {
    requests: Vec<Request>,
    permits: QueuePermits,
    waiting: Vec<oneshot::Sender<Answer>>,
}

impl NextMessage {
    /// A message without requests.
    fn new(limit: &QueueLimit) -> NextMessage {
        NextMessage { requests: Vec::new(), permits: limit.none(), waiting: Vec::new() }
    }
}

impl HandOver {
    /// Made for one worker. All workers of a process share the limit.
    pub fn new(ingest: Recipient<Append>, limit: QueueLimit) -> HandOver {
        HandOver(Rc::new(Worker {
            ingest,
            next: RefCell::new(NextMessage::new(&limit)),
            limit,
            called: Cell::new(false),
        }))
    }

    /// Hands a request over and waits until it is on disk. A caller that stops waiting takes
    /// nothing back: the request goes on.
    ///
    /// # Errors
    /// The request is not on disk, or nobody can say whether it is.
    pub async fn request(&self, request: Request) -> Result<Accepted, NotAppended> {
        let answer = {
            let mut next = self.0.next.borrow_mut();
            if !next.permits.take() {
                return Err(NotAppended::Overloaded);
            }
            let (reply, answer) = oneshot::channel();
            next.requests.push(request);
            next.waiting.push(reply);
            answer
        };
        if !self.0.called.replace(true) {
            tokio::task::spawn_local(self.clone().carry());
        }
        Ok(answer.await.map_err(|_| NotAppended::Stopping)??)
    }

    /// Sends what has gathered by the end of this round of polling, and hands out the answers.
    async fn carry(self) {
        // This returns only after every task that is ready in this round was polled, so their
        // requests go along.
        tokio::task::yield_now().await;
        let worker = &self.0;
        worker.called.set(false);
        let NextMessage { requests, permits, waiting } =
            worker.next.replace(NextMessage::new(&worker.limit));
        let (reply, answers) = oneshot::channel();
        // `do_send` ignores the mailbox's limit, but there are never more messages than permits.
        worker.ingest.do_send(Append { requests, permits, reply });
        // If the actor has ended there are no answers. The channels of those who wait are then
        // dropped, and `request` says that the server is stopping.
        let answers = answers.await.unwrap_or_default();
        for (reply, answer) in waiting.into_iter().zip(answers) {
            // The error is ignored: a client that has gone does not read its answer.
            let _ = reply.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use actix::{Actor, Context, Handler};
    use futures_util::future::join_all;

    use super::*;

    /// Takes the place of the ingest actor. It accepts each request as it is, but refuses one of 13
    /// events, and gives no answer to a message with one of 14. It remembers how many requests each
    /// message had.
    #[derive(Default)]
    struct Desk(Rc<RefCell<Vec<usize>>>);

    impl Actor for Desk {
        type Context = Context<Self>;
    }

    impl Handler<Append> for Desk {
        type Result = ();

        fn handle(&mut self, append: Append, _: &mut Context<Self>) {
            self.0.borrow_mut().push(append.requests.len());
            if append.requests.iter().any(|request| request.events == 14) {
                return;
            }
            let answer = |request: Request| match request.events {
                13 => Err(NotTaken::Full),
                accepted => Ok(Accepted { accepted, duplicates: 0 }),
            };
            let _ = append.reply.send(append.requests.into_iter().map(answer).collect());
        }
    }

    fn desk(max: usize) -> (HandOver, Rc<RefCell<Vec<usize>>>) {
        let messages = Rc::default();
        let desk = Desk(Rc::clone(&messages)).start();
        (HandOver::new(desk.recipient(), QueueLimit::new(max)), messages)
    }

    async fn hand_over(to: &HandOver, events: u32) -> Result<u32, NotAppended> {
        let request = Request { events, ..Request::default() };
        Ok(to.request(request).await?.accepted)
    }

    #[actix::test]
    async fn what_comes_together_goes_as_one_message_and_each_gets_its_own_answer() {
        let (to, messages) = desk(100);
        let answers = join_all((11..16).filter(|n| *n != 14).map(|n| hand_over(&to, n))).await;
        assert_eq!(answers, [Ok(11), Ok(12), Err(NotTaken::Full.into()), Ok(15)]);
        assert_eq!(hand_over(&to, 1).await, Ok(1));
        assert_eq!(*messages.borrow(), [4, 1]);
    }

    #[actix::test]
    async fn beyond_the_queue_a_request_is_refused_and_later_there_is_room() {
        let (to, messages) = desk(3);
        for _ in 0..2 {
            let answers = join_all((1..6).map(|n| hand_over(&to, n))).await;
            let refused = Err(NotAppended::Overloaded);
            assert_eq!(answers, [Ok(1), Ok(2), Ok(3), refused.clone(), refused]);
        }
        assert_eq!(*messages.borrow(), [3, 3]);
        assert_eq!(to.0.limit.waiting(), 0);
    }

    #[actix::test]
    async fn without_an_answer_the_server_is_stopping() {
        let (to, _) = desk(100);
        let answers = join_all([1, 14, 2].map(|n| hand_over(&to, n))).await;
        assert_eq!(answers, vec![Err(NotAppended::Stopping); 3]);
    }

    #[actix::test]
    async fn a_request_goes_on_though_nobody_waits_for_it() {
        let (to, messages) = desk(100);
        {
            let mut left = Box::pin(hand_over(&to, 1));
            assert!(futures_util::poll!(&mut left).is_pending());
        }
        assert_eq!(hand_over(&to, 2).await, Ok(2));
        assert_eq!(*messages.borrow(), [2]);
    }
}
