//! Writing. A batch is converted and queued on a thread of the pool; its durability is awaited without one.

use std::pin::Pin;
use std::sync::Arc;

use chronolith_engine::db::Ticket;
use chronolith_proto::detail_of;
use chronolith_proto::v1::write_service_server::WriteService;
use chronolith_proto::v1::{self, write_stream_reply::Outcome};
use futures::stream::{FuturesOrdered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::Answers;
use crate::intake::{Claim, Held};
use crate::shared::Shared;
use crate::{convert, meters, status};

/// The write service.
pub(crate) struct Write {
    shared: Arc<Shared>,
}

impl Write {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[tonic::async_trait]
impl WriteService for Write {
    type WriteStreamStream = Answers<v1::WriteStreamReply>;

    async fn write(
        &self,
        request: Request<v1::WriteRequest>,
    ) -> Result<Response<v1::WriteReply>, Status> {
        let begun = Instant::now();
        let held = request.extensions().get::<Held>().cloned();
        let shared = Arc::clone(&self.shared);
        let reply = commit(shared, request.into_inner(), begun).await;
        drop(held);
        reply.map(Response::new)
    }

    async fn write_stream(
        &self,
        request: Request<Streaming<v1::WriteStreamRequest>>,
    ) -> Result<Response<Self::WriteStreamStream>, Status> {
        self.shared.db()?;
        let held = request.extensions().get::<Held>().cloned();
        let held = held.ok_or_else(|| Status::internal("the request's bytes are not counted"))?;
        let (sender, answers) = mpsc::channel(self.shared.limits.window_count as usize);
        let pump = Pump {
            shared: Arc::clone(&self.shared),
            inbound: request.into_inner(),
            held,
            answers: sender,
            waiting: FuturesOrdered::new(),
            waiting_bytes: 0,
        };
        tokio::spawn(pump.run());
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn import_progress(
        &self,
        request: Request<v1::ImportProgressRequest>,
    ) -> Result<Response<v1::ImportProgressReply>, Status> {
        let (shared, db) = (Arc::clone(&self.shared), self.shared.db()?);
        let producer = request.into_inner().producer;
        let found = self.shared.reads.run(move || db.import_progress(&producer)).await?;
        let found = found.map_err(|error| shared.status(&error))?;
        let reply = found.map(|progress| v1::ImportProgressReply {
            has_begun: true,
            chunk: progress.chunk,
            mark: Some(v1::ImportMark {
                file: progress.mark.file,
                row_count: progress.mark.row_count,
                source_row_count: progress.mark.source_row_count,
                is_finished: progress.mark.finished,
            }),
            commit_time_ns: progress.commit_time_ns,
        });
        Ok(Response::new(reply.unwrap_or_default()))
    }
}

/// Commits a batch.
async fn commit(
    shared: Arc<Shared>,
    request: v1::WriteRequest,
    begun: Instant,
) -> Result<v1::WriteReply, Status> {
    let ticket = submit(&shared, request).await?;
    finish(&shared, ticket, begun).await
}

/// Converts and queues a batch. Where memory is full it waits, which holds the sender back, on a thread of its own, which
/// are bounded; or is refused, as the server's settings say.
async fn submit(shared: &Arc<Shared>, request: v1::WriteRequest) -> Result<Ticket, Status> {
    let db = shared.db()?;
    let engine = Arc::clone(shared);
    let work = move || {
        let batch = convert::batch(&db, request, engine.limits.on_pressure)?;
        db.submit(batch).map_err(|error| engine.status(&error))
    };
    shared.writes.run(work).await?
}

/// Waits for a batch's durability.
async fn finish(shared: &Shared, ticket: Ticket, begun: Instant) -> Result<v1::WriteReply, Status> {
    let outcome = ticket.await.map_err(|error| shared.status(&error))?;
    meters::written(outcome.row_count, begun.elapsed());
    Ok(convert::write_reply(outcome))
}

type Answer = Pin<Box<dyn Future<Output = (u64, Result<v1::WriteReply, Status>, Claim)> + Send>>;
type Submitting =
    Pin<Box<dyn Future<Output = (u64, Result<Ticket, Status>, Claim, Instant)> + Send>>;

/// One write stream: takes requests in while there is room in the window, answers in their order.
struct Pump {
    shared: Arc<Shared>,
    inbound: Streaming<v1::WriteStreamRequest>,
    held: Held,
    answers: mpsc::Sender<Result<v1::WriteStreamReply, Status>>,
    waiting: FuturesOrdered<Answer>,
    waiting_bytes: usize,
}

impl Pump {
    async fn run(mut self) {
        let limits = self.shared.limits;
        let window = v1::write_stream_reply::Window {
            requests: limits.window_count,
            bytes: limits.window_bytes as u64,
        };
        if !answer(&self.answers, 0, Outcome::Window(window)).await {
            return;
        }
        let shutdown = self.shared.shutdown.clone();
        let mut submitting: Option<Submitting> = None;
        // Why no more requests are taken in: their end, or an error to tell once all are answered.
        let mut ended: Option<Result<(), Status>> = None;
        loop {
            let has_room = self.waiting.len() < limits.window_count as usize
                && self.waiting_bytes < limits.window_bytes;
            let takes = ended.is_none() && submitting.is_none() && has_room;
            tokio::select! {
                biased;
                Some((number, outcome, claim)) = self.waiting.next() => {
                    self.waiting_bytes = self.waiting_bytes.saturating_sub(claim.bytes());
                    drop(claim);
                    if !answer(&self.answers, number, outcome_message(outcome)).await {
                        return;
                    }
                }
                submitted = poll_some(&mut submitting) => {
                    submitting = None;
                    self.submitted(submitted);
                }
                // Nobody hears the answers any more. What was queued is committed all the same.
                () = self.answers.closed() => return,
                () = shutdown.begun(), if ended.is_none() => ended = Some(Err(status::closing())),
                message = self.inbound.message(), if takes => match message {
                    Ok(Some(request)) => submitting = Some(self.submitting(request)),
                    Ok(None) => ended = Some(Ok(())),
                    Err(error) => ended = Some(Err(error)),
                },
                else => break,
            }
            if ended.is_some() && submitting.is_none() && self.waiting.is_empty() {
                break;
            }
        }
        if let Some(Err(error)) = ended {
            // A client that went away hears nothing.
            let _ = self.answers.send(Err(error)).await;
        }
    }

    fn submitting(&self, request: v1::WriteStreamRequest) -> Submitting {
        let (shared, claim, begun) = (Arc::clone(&self.shared), self.held.claim(), Instant::now());
        Box::pin(async move {
            let batch = request.request.unwrap_or_default();
            (request.number, submit(&shared, batch).await, claim, begun)
        })
    }

    fn submitted(&mut self, submitted: (u64, Result<Ticket, Status>, Claim, Instant)) {
        let (number, ticket, claim, begun) = submitted;
        self.waiting_bytes += claim.bytes();
        let shared = Arc::clone(&self.shared);
        self.waiting.push_back(Box::pin(async move {
            let outcome = match ticket {
                Ok(ticket) => finish(&shared, ticket, begun).await,
                Err(error) => Err(error),
            };
            (number, outcome, claim)
        }));
    }
}

/// Whether somebody heard it.
async fn answer(
    answers: &mpsc::Sender<Result<v1::WriteStreamReply, Status>>,
    number: u64,
    outcome: Outcome,
) -> bool {
    answers.send(Ok(v1::WriteStreamReply { number, outcome: Some(outcome) })).await.is_ok()
}

async fn poll_some(
    submitting: &mut Option<Submitting>,
) -> (u64, Result<Ticket, Status>, Claim, Instant) {
    match submitting {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

fn outcome_message(outcome: Result<v1::WriteReply, Status>) -> Outcome {
    match outcome {
        Ok(reply) => Outcome::Done(reply),
        Err(error) => Outcome::Error(detail_of(&error).unwrap_or_else(|| v1::ErrorDetail {
            kind: v1::error_detail::Kind::Internal.into(),
            reason: "internal".to_owned(),
            message: error.message().to_owned(),
            ..v1::ErrorDetail::default()
        })),
    }
}
