//! What comes in over all connections is bounded in bytes: each received byte is held until its request is answered.
//! A body that finds no room waits, which holds the sender back by flow control; one that waits too long is refused.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::PollSemaphore;
use tonic::Status;
use tower::{Layer, Service};

use crate::{meters, status};

/// Bytes of one permit: a semaphore counts no bytes by the gigabyte.
const UNIT_BYTES: usize = 1 << 10;
/// Bytes in front of each message: a flag and its length.
const PREFIX_BYTES: usize = 5;
/// For how long a body waits for room.
const WAIT: Duration = Duration::from_secs(10);

/// Bytes that a request holds. Dropping it lets go of them.
#[derive(Debug, Clone)]
pub(crate) struct Held(Arc<HeldInner>);

#[derive(Debug)]
struct HeldInner {
    room: Arc<Semaphore>,
    /// Permits held.
    units: AtomicUsize,
    /// Of them those that some message of a stream has claimed.
    claimed: AtomicUsize,
}

impl Drop for HeldInner {
    fn drop(&mut self) {
        let units = *self.units.get_mut();
        self.room.add_permits(units);
        meters::in_flight(-bytes_of(units));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge of bytes in flight needs no exact units")]
fn bytes_of(units: usize) -> f64 {
    (units * UNIT_BYTES) as f64
}

impl Held {
    /// What came in since the last claim: for a stream about one message. Dropping the claim lets go of it.
    pub(crate) fn claim(&self) -> Claim {
        let units = self.0.units.load(Ordering::Acquire);
        let claimed = self.0.claimed.swap(units, Ordering::AcqRel);
        Claim { held: self.clone(), units: units.saturating_sub(claimed) }
    }
}

/// A part of what a request holds.
#[derive(Debug)]
pub(crate) struct Claim {
    held: Held,
    units: usize,
}

impl Claim {
    /// Its bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.units * UNIT_BYTES
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let inner = &self.held.0;
        inner.claimed.fetch_sub(self.units, Ordering::AcqRel);
        inner.units.fetch_sub(self.units, Ordering::AcqRel);
        inner.room.add_permits(self.units);
        meters::in_flight(-bytes_of(self.units));
    }
}

/// Counts the bytes of request bodies.
#[derive(Clone)]
pub(crate) struct Intake {
    room: Arc<Semaphore>,
}

impl Intake {
    /// Room for `bytes`, and for what stands in front of a message of so many.
    pub(crate) fn new(bytes: usize) -> Self {
        let units =
            bytes.saturating_add(PREFIX_BYTES).div_ceil(UNIT_BYTES).min(Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(units)) }
    }
}

impl<S> Layer<S> for Intake {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, room: Arc::clone(&self.room) }
    }
}

/// A service whose request bodies are counted.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    inner: S,
    room: Arc<Semaphore>,
}

type HttpRequest = tonic::codegen::http::Request<tonic::body::Body>;

impl<S: Service<HttpRequest>> Service<HttpRequest> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest) -> S::Future {
        meters::request(request.uri().path());
        let (mut parts, body) = request.into_parts();
        let inner = HeldInner {
            room: Arc::clone(&self.room),
            units: AtomicUsize::new(0),
            claimed: AtomicUsize::new(0),
        };
        let held = Held(Arc::new(inner));
        parts.extensions.insert(held.clone());
        let body = CountedBody {
            body,
            room: PollSemaphore::new(Arc::clone(&self.room)),
            held,
            spare_bytes: 0,
            waiting: None,
            timer: None,
        };
        self.inner.call(HttpRequest::from_parts(parts, tonic::body::Body::new(body)))
    }
}

/// A body that holds what it gave.
struct CountedBody {
    body: tonic::body::Body,
    room: PollSemaphore,
    held: Held,
    /// Bytes that are paid for and did not come yet.
    spare_bytes: usize,
    /// A part of the body for which there is no room yet.
    waiting: Option<Bytes>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl CountedBody {
    /// Takes room for the part that waits.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let needed = self.waiting.as_ref().map_or(0, Buf::remaining);
        if needed <= self.spare_bytes {
            self.spare_bytes -= needed;
            return Poll::Ready(Ok(()));
        }
        let units = (needed - self.spare_bytes).div_ceil(UNIT_BYTES);
        let count = u32::try_from(units).unwrap_or(u32::MAX);
        match self.room.poll_acquire_many(cx, count) {
            Poll::Ready(Some(permit)) => {
                permit.forget();
                self.held.0.units.fetch_add(units, Ordering::AcqRel);
                meters::in_flight(bytes_of(units));
                self.spare_bytes = self.spare_bytes + units * UNIT_BYTES - needed;
                self.timer = None;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(None) => Poll::Ready(Err(status::closing())),
            Poll::Pending => {
                let timer = self.timer.get_or_insert_with(|| {
                    Box::pin(tokio::time::sleep_until(Instant::now() + WAIT))
                });
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(Err(status::overloaded(
                    "the server takes in as many bytes of requests as it may hold; retry later or lower the rate",
                )))
            }
        }
    }
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.waiting.is_none() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.waiting = Some(data),
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
            }
        }
        ready!(this.poll_room(cx))?;
        let data = this.waiting.take().unwrap_or_default();
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(intake: &Intake, bytes: usize) -> Held {
        let units = bytes / UNIT_BYTES;
        let permit = intake.room.try_acquire_many(u32::try_from(units).unwrap()).unwrap();
        permit.forget();
        Held(Arc::new(HeldInner {
            room: Arc::clone(&intake.room),
            units: AtomicUsize::new(units),
            claimed: AtomicUsize::new(0),
        }))
    }

    #[test]
    fn what_is_let_go_is_room_again_once() {
        let intake = Intake::new(8 * UNIT_BYTES - PREFIX_BYTES);
        let whole = held(&intake, 6 * UNIT_BYTES);
        assert_eq!(intake.room.available_permits(), 2);
        let claim = whole.claim();
        assert_eq!(claim.bytes(), 6 * UNIT_BYTES);
        assert_eq!(whole.claim().bytes(), 0);
        drop(claim);
        assert_eq!(intake.room.available_permits(), 8);
        drop(whole);
        assert_eq!(intake.room.available_permits(), 8);
        drop(held(&intake, 3 * UNIT_BYTES));
        assert_eq!(intake.room.available_permits(), 8);
    }
}
