//! The calls, one method each.

use std::time::Duration;

use chronolith_proto::MESSAGE_BYTES_MAX;
use chronolith_proto::v1::admin_service_client::AdminServiceClient;
use chronolith_proto::v1::log_service_client::LogServiceClient;
use chronolith_proto::v1::query_service_client::QueryServiceClient;
use chronolith_proto::v1::verify_reply::Event;
use chronolith_proto::v1::write_service_client::WriteServiceClient;
use chronolith_proto::v1::{self, ScanRequest, WriteReply, WriteRequest};
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};

use crate::answer::Answer;
use crate::error::{ClientError, Result};
use crate::retry::Retry;

/// For how long a connection is tried.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// A connection to a server. Clones share it. A connection that breaks is made anew by the next call.
#[derive(Clone)]
pub struct Client {
    url: String,
    channel: Channel,
}

impl Client {
    /// Connects to `url`, such as `http://127.0.0.1:7401`.
    ///
    /// # Errors
    /// `Url`, `Connection`.
    pub async fn connect(url: &str) -> Result<Self> {
        let channel = endpoint(url)?.connect().await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            ClientError::Connection {
                url: url.to_owned(),
                why: cause.unwrap_or_else(|| error.to_string()),
            }
        })?;
        Ok(Self { url: url.to_owned(), channel })
    }

    /// A client that connects with its first call.
    ///
    /// # Errors
    /// `Url`.
    pub fn connect_lazy(url: &str) -> Result<Self> {
        Ok(Self { url: url.to_owned(), channel: endpoint(url)?.connect_lazy() })
    }

    /// The server's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn writes(&self) -> WriteServiceClient<Channel> {
        WriteServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn queries(&self) -> QueryServiceClient<Channel> {
        QueryServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn error(&self, status: &Status) -> ClientError {
        ClientError::of(&self.url, status)
    }

    fn told<T>(&self, answer: std::result::Result<Response<T>, Status>) -> Result<T> {
        answer.map(Response::into_inner).map_err(|status| self.error(&status))
    }

    /// Commits one batch.
    ///
    /// # Errors
    /// The server's; after `Connection` the outcome is not known.
    pub async fn write(&self, request: WriteRequest) -> Result<WriteReply> {
        self.told(self.writes().write(request).await)
    }

    /// Commits one batch, and sends it again where that may help. With a producer's number it is applied once.
    /// Without one it is sent again only where the server refused it.
    ///
    /// # Errors
    /// The last try's.
    pub async fn write_retrying(&self, request: WriteRequest, retry: &Retry) -> Result<WriteReply> {
        let mut waits = retry.begin();
        loop {
            let error = match self.write(request.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let is_unknown = matches!(error, ClientError::Connection { .. });
            if is_unknown && request.producer.is_none() {
                return Err(error);
            }
            waits.wait(error).await?;
        }
    }

    /// How far an import has come; none where it has not begun.
    ///
    /// # Errors
    /// The server's.
    pub async fn import_progress(&self, producer: &str) -> Result<Option<v1::ImportProgressReply>> {
        let request = v1::ImportProgressRequest { producer: producer.to_owned() };
        let reply = self.told(self.writes().import_progress(request).await)?;
        Ok(reply.has_begun.then_some(reply))
    }

    async fn answer(
        &self,
        reply: std::result::Result<Response<Streaming<v1::QueryReply>>, Status>,
    ) -> Result<Answer> {
        Answer::begin(&self.url, self.told(reply)?).await
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// The server's.
    pub async fn sql(&self, request: v1::SqlRequest) -> Result<Answer> {
        self.answer(self.queries().sql(request).await).await
    }

    /// Rows of one table.
    ///
    /// # Errors
    /// The server's.
    pub async fn scan(&self, request: ScanRequest) -> Result<Answer> {
        self.answer(self.queries().scan(request).await).await
    }

    /// Aggregates of one table.
    ///
    /// # Errors
    /// The server's.
    pub async fn aggregate(&self, request: v1::AggregateRequest) -> Result<Answer> {
        self.answer(self.queries().aggregate(request).await).await
    }

    /// The last row of each series of one table.
    ///
    /// # Errors
    /// The server's.
    pub async fn latest(&self, request: ScanRequest) -> Result<Answer> {
        self.answer(self.queries().latest(request).await).await
    }

    /// Creates a table.
    ///
    /// # Errors
    /// The server's.
    pub async fn create_table(
        &self,
        table: &str,
        options: v1::TableOptions,
    ) -> Result<v1::ChangeReply> {
        let request = v1::CreateTableRequest { table: table.to_owned(), options: Some(options) };
        self.told(self.admin().create_table(request).await)
    }

    /// One table's columns and figures.
    ///
    /// # Errors
    /// The server's.
    pub async fn describe_table(&self, table: &str) -> Result<v1::Table> {
        let request = v1::DescribeTableRequest { table: table.to_owned() };
        self.told(self.admin().describe_table(request).await)
    }

    /// Every table.
    ///
    /// # Errors
    /// The server's.
    pub async fn list_tables(&self) -> Result<Vec<v1::Table>> {
        let reply = self.admin().list_tables(v1::ListTablesRequest {}).await;
        Ok(self.told(reply)?.tables)
    }

    /// Removes a table with its rows.
    ///
    /// # Errors
    /// The server's.
    pub async fn drop_table(&self, table: &str) -> Result<v1::ChangeReply> {
        let request = v1::DropTableRequest { table: table.to_owned() };
        self.told(self.admin().drop_table(request).await)
    }

    /// Deletes rows.
    ///
    /// # Errors
    /// The server's.
    pub async fn delete_rows(&self, request: v1::DeleteRowsRequest) -> Result<v1::DeleteRowsReply> {
        self.told(self.admin().delete_rows(request).await)
    }

    /// Writes rows in memory to segments.
    ///
    /// # Errors
    /// The server's.
    pub async fn flush(&self) -> Result<v1::FlushReply> {
        self.told(self.admin().flush(v1::FlushRequest {}).await)
    }

    /// Merges segments.
    ///
    /// # Errors
    /// The server's.
    pub async fn compact(&self) -> Result<v1::CompactReply> {
        self.told(self.admin().compact(v1::CompactRequest {}).await)
    }

    /// The database's figures.
    ///
    /// # Errors
    /// The server's.
    pub async fn stats(&self) -> Result<v1::StatsReply> {
        self.told(self.admin().stats(v1::StatsRequest {}).await)
    }

    /// Checks every byte. `progress` hears how long it has been at it, in milliseconds.
    ///
    /// # Errors
    /// The server's.
    pub async fn verify(
        &self,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(v1::verify_reply::Done, Vec<v1::DamagedPart>)> {
        let mut events = self.told(self.admin().verify(v1::VerifyRequest {}).await)?;
        let mut damage = Vec::new();
        while let Some(reply) = events.message().await.map_err(|status| self.error(&status))? {
            match reply.event {
                Some(Event::Progress(at)) => progress(at.elapsed_ms),
                Some(Event::Damage(part)) => damage.push(part),
                Some(Event::Done(done)) => return Ok((done, damage)),
                None => {}
            }
        }
        Err(ClientError::Malformed("a verification ends without its end".to_owned()))
    }

    /// The log's tail.
    ///
    /// # Errors
    /// The server's.
    pub async fn tail(&self, request: v1::TailRequest) -> Result<Streaming<v1::TailReply>> {
        self.told(LogServiceClient::new(self.channel.clone()).tail(request).await)
    }
}

fn endpoint(url: &str) -> Result<Endpoint> {
    let wrong = |why: String| ClientError::Url { url: url.to_owned(), why };
    if !url.starts_with("http://") {
        return Err(wrong("it must begin with http://".to_owned()));
    }
    let endpoint =
        Endpoint::from_shared(url.to_owned()).map_err(|error| wrong(error.to_string()))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIME)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20)))
}
