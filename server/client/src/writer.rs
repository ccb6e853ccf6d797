//! Writing batches in a stream, each once. Every batch has a producer's number; those that are not acknowledged are
//! kept and sent again when the stream breaks or the server is overloaded, and the server passes over what it has.

use std::collections::VecDeque;

use chronolith_proto::v1::write_stream_reply::Outcome;
use chronolith_proto::v1::{
    Durability, InvalidRows, Metadata, Producer, Sequence, TableRows, WriteReply, WriteRequest,
    WriteStreamReply, WriteStreamRequest,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::client::Client;
use crate::error::{ClientError, Result};
use crate::retry::{Retry, Waits};

/// How a [`Writer`] writes.
#[derive(Clone, Default)]
pub struct WriterOptions {
    /// The producer's id: unique in the database, at most 256 bytes.
    pub producer: String,
    /// The number of the first batch: 1 for a new producer, else the last that was acknowledged plus one.
    pub first_number: u64,
    /// When batches are acknowledged.
    pub durability: Durability,
    /// What becomes of batches with invalid rows.
    pub invalid_rows: InvalidRows,
    /// Where the batches come from.
    pub metadata: Option<Metadata>,
    /// Batches that may wait for their acknowledgement; 0: 32.
    pub window: usize,
    /// For how long the server is waited for.
    pub retry: Retry,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written {
    /// Batches that were acknowledged.
    pub batch_count: u64,
    /// Of them those that the server had already.
    pub repeated_count: u64,
    /// Rows committed.
    pub row_count: u64,
    /// Rows that were left out.
    pub refused_count: u64,
    /// The place of the last batch in commit order.
    pub last: Option<Sequence>,
}

struct Kept {
    number: u64,
    request: WriteRequest,
    /// Its place, once it is acknowledged; kept on until it is durable.
    committed: Option<Sequence>,
}

struct Open {
    requests: mpsc::Sender<WriteStreamRequest>,
    replies: Streaming<WriteStreamReply>,
}

/// Writes batches in order. Dropping it without [`Self::finish`] leaves the outcome of the last ones open.
pub struct Writer {
    client: Client,
    options: WriterOptions,
    next: u64,
    kept: VecDeque<Kept>,
    open: Option<Open>,
    written: Written,
    waits: Waits,
}

const WINDOW: usize = 32;

impl Writer {
    /// A writer; it connects with its first batch.
    #[must_use]
    pub fn new(client: Client, mut options: WriterOptions) -> Self {
        options.first_number = options.first_number.max(1);
        if options.window == 0 {
            options.window = WINDOW;
        }
        let (next, waits) = (options.first_number, options.retry.begin());
        let (kept, written) = (VecDeque::new(), Written::default());
        Self { client, options, next, kept, open: None, written, waits }
    }

    /// Sends a batch; waits while the window is full. Returns its number.
    ///
    /// # Errors
    /// The server's for this batch or an earlier one, after which nothing more can be written; the last failure where the
    /// server was away for too long.
    pub async fn write(&mut self, tables: Vec<TableRows>) -> Result<u64> {
        while self.waiting() >= self.options.window {
            self.hear().await?;
        }
        let number = self.next;
        self.next += 1;
        let request = WriteRequest {
            tables,
            durability: self.options.durability.into(),
            invalid_rows: self.options.invalid_rows.into(),
            producer: Some(Producer { id: self.options.producer.clone(), number }),
            metadata: self.options.metadata.clone(),
            import: None,
        };
        let message = WriteStreamRequest { number, request: Some(request.clone()) };
        self.kept.push_back(Kept { number, request, committed: None });
        match &self.open {
            // Where the stream has ended, hearing of it sends everything again.
            Some(open) => drop(open.requests.send(message).await),
            None => self.connect().await?,
        }
        Ok(number)
    }

    /// Waits until every batch is acknowledged and durable.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn finish(mut self) -> Result<Written> {
        while self.waiting() > 0 {
            self.hear().await?;
        }
        while !self.kept.is_empty() {
            // Written without a sync: the server syncs by itself within moments.
            let stats = self.client.stats().await;
            match stats {
                Ok(stats) => self.forget(stats.durable_sequence.as_ref()),
                Err(error) => self.waits.wait(error).await?,
            }
            if !self.kept.is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        Ok(self.written)
    }

    /// What is acknowledged so far: also after an error, when nothing more can be written.
    #[must_use]
    pub fn written(&self) -> &Written {
        &self.written
    }

    fn waiting(&self) -> usize {
        self.kept.iter().filter(|kept| kept.committed.is_none()).count()
    }

    /// Opens a stream and sends what is kept, as long as it takes.
    async fn connect(&mut self) -> Result<()> {
        loop {
            match self.try_connect().await {
                Ok(()) => return Ok(()),
                Err(error) => self.waits.wait(error).await?,
            }
        }
    }

    async fn try_connect(&mut self) -> Result<()> {
        self.open = None;
        // Room for all that is kept: nothing is heard while it is sent.
        let room = self.options.window.max(self.kept.len()) + 1;
        let (requests, outgoing) = mpsc::channel(room);
        for kept in &self.kept {
            let message =
                WriteStreamRequest { number: kept.number, request: Some(kept.request.clone()) };
            drop(requests.send(message).await);
        }
        let replies = self.client.writes().write_stream(ReceiverStream::new(outgoing)).await;
        let replies = replies.map_err(|status| self.client.error(&status))?.into_inner();
        self.open = Some(Open { requests, replies });
        Ok(())
    }

    /// Hears one answer.
    async fn hear(&mut self) -> Result<()> {
        let Some(open) = &mut self.open else { return self.connect().await };
        let error = match open.replies.message().await {
            Ok(Some(reply)) => match reply.outcome {
                Some(Outcome::Done(done)) => {
                    self.waits = self.options.retry.begin();
                    self.acknowledge(reply.number, &done);
                    return Ok(());
                }
                Some(Outcome::Error(detail)) => ClientError::Refused(Box::new(detail)),
                Some(Outcome::Window(_)) | None => return Ok(()),
            },
            Ok(None) => ClientError::Connection {
                url: self.client.url().to_owned(),
                why: "the stream ended".to_owned(),
            },
            Err(status) => self.client.error(&status),
        };
        self.open = None;
        self.waits.wait(error).await?;
        self.connect().await
    }

    fn acknowledge(&mut self, number: u64, done: &WriteReply) {
        let kept = self.kept.iter_mut().find(|kept| kept.number == number);
        if let Some(kept) = kept.filter(|kept| kept.committed.is_none()) {
            kept.committed = Some(done.sequence.unwrap_or_default());
            self.written.batch_count += 1;
            self.written.repeated_count += u64::from(done.already_applied);
            self.written.row_count += done.row_count;
            self.written.refused_count += done.refused_count;
            self.written.last = done.sequence;
        }
        let durable = match self.options.durability {
            Durability::Os => done.durable_sequence,
            _ => done.sequence,
        };
        self.forget(durable.as_ref());
    }

    /// Lets go of what is durable.
    fn forget(&mut self, durable: Option<&Sequence>) {
        let place = |one: &Sequence| (one.incarnation, one.counter);
        let Some(durable) = durable.map(place) else { return };
        while let Some(first) = self.kept.front() {
            let done = first.committed.as_ref().is_some_and(|one| place(one) <= durable);
            if !done {
                return;
            }
            self.kept.pop_front();
        }
    }
}
