//! A server's life: listen, open the database, serve, drain, flush, close.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chronolith_engine::{Db, Error, Options};
use chronolith_proto::v1::admin_service_server::AdminServiceServer;
use chronolith_proto::v1::log_service_server::LogServiceServer;
use chronolith_proto::v1::query_service_server::QueryServiceServer;
use chronolith_proto::v1::write_service_server::WriteServiceServer;
use chronolith_proto::{DESCRIPTORS, MESSAGE_BYTES_MAX};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::config::Config;
use crate::intake::Intake;
use crate::service::{Admin, Log, Query, Write};
use crate::shared::Shared;
use crate::shutdown::{self, Shutdown};
use crate::sql::Sql;
use crate::{http, meters};

/// Why a server ends before it is asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {what}: {source}{}", taken(.source))]
    Listen {
        /// "gRPC" or "HTTP".
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The engine's reason.
    #[error(transparent)]
    Engine(#[from] Error),
    /// The network failed.
    #[error("the server ended early: {0}")]
    Ended(String),
}

fn taken(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::AddrInUse => {
            "; another process has it: stop that, or choose another port"
        }
        _ => "",
    }
}

/// Where a server listens.
#[derive(Debug)]
pub struct Listeners {
    grpc: TcpListener,
    http: TcpListener,
    /// The address of the gRPC interface, its port known.
    pub grpc_address: SocketAddr,
    /// The address of `/health` and `/metrics`, its port known.
    pub http_address: SocketAddr,
}

impl Listeners {
    /// Takes both ports; 0 is any that is free.
    ///
    /// # Errors
    /// `Listen`.
    pub async fn bind(grpc: SocketAddr, http: SocketAddr) -> Result<Self, ServeError> {
        let (grpc, grpc_address) = listen("gRPC", grpc).await?;
        let (http, http_address) = listen("HTTP", http).await?;
        Ok(Self { grpc, http, grpc_address, http_address })
    }
}

async fn listen(
    what: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { what, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}

/// Serves `config`'s database until `shutdown`, then drains, flushes and closes. `ready` is called once it serves.
///
/// # Errors
/// The engine's where the database cannot be opened or closed; `Ended`.
pub async fn run(
    listeners: Listeners,
    config: &Config,
    shutdown: Shutdown,
    ready: impl FnOnce(),
) -> Result<(), ServeError> {
    meters::start();
    let shared = Arc::new(Shared::new(config, shutdown.clone()));
    let (http_end, http_ended) = shutdown::channel();
    let http =
        http::serve(listeners.http, Arc::clone(&shared), async move { http_ended.begun().await });
    let http = tokio::spawn(http);
    let db = open(config).await?;
    let sql = Sql::new(db.clone(), &config.limits);
    let sql = sql.map_err(|status| ServeError::Ended(status.message().to_owned()))?;
    shared.opened(db.clone(), sql);
    ready();
    let served = serve_grpc(listeners.grpc, &shared, &shutdown).await;
    tracing::info!("the calls have ended; the database is flushed and closed");
    let closed = tokio::task::spawn_blocking(move || {
        // The log holds what a flush that fails would have written.
        let flushed = db.flush();
        let closed = db.close();
        flushed.and(closed)
    });
    let closed = closed.await.map_err(|error| ServeError::Ended(error.to_string()))?;
    http_end.fire();
    let _ = tokio::time::timeout(Duration::from_secs(1), http).await;
    served?;
    Ok(closed?)
}

async fn open(config: &Config) -> Result<Db, ServeError> {
    let mut options = Options::new(&config.data);
    options.memory_bytes = config.memory_bytes;
    let opened = tokio::task::spawn_blocking(move || Db::open(options)).await;
    Ok(opened.map_err(|error| ServeError::Ended(error.to_string()))??)
}

async fn serve_grpc(
    listener: TcpListener,
    shared: &Arc<Shared>,
    shutdown: &Shutdown,
) -> Result<(), ServeError> {
    let failed = |error: &dyn std::error::Error| ServeError::Ended(error.to_string());
    let limits = shared.limits;
    let (reporter, health) = tonic_health::server::health_reporter();
    report(&reporter, ServingStatus::Serving).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| failed(&error))?;
    let of = |shared: &Arc<Shared>| Arc::clone(shared);
    let routes = Server::builder()
        .max_concurrent_streams(limits.streams_per_connection_count)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .layer(Intake::new(limits.requests_in_flight_bytes))
        .add_service(health)
        .add_service(reflection)
        .add_service(sized!(limits, WriteServiceServer::new(Write::new(of(shared)))))
        .add_service(sized!(limits, QueryServiceServer::new(Query::new(of(shared)))))
        .add_service(sized!(limits, AdminServiceServer::new(Admin::new(of(shared)))))
        .add_service(sized!(limits, LogServiceServer::new(Log::new(of(shared)))));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let draining = shutdown.clone();
    let begun = async move {
        draining.begun().await;
        report(&reporter, ServingStatus::NotServing).await;
    };
    let serving = routes.serve_with_incoming_shutdown(incoming, begun);
    let drained = async {
        shutdown.begun().await;
        tokio::time::sleep(limits.drain_time).await;
    };
    tokio::select! {
        served = serving => served.map_err(|error| failed(&error)),
        () = drained => {
            tracing::warn!("calls that did not end in {} s are cut off", limits.drain_time.as_secs());
            Ok(())
        }
    }
}

/// A service with the limits of messages: of requests, of answers.
macro_rules! sized {
    ($limits:expr, $service:expr) => {
        $service
            .max_decoding_message_size($limits.request_bytes)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    };
}
use sized;

async fn report(reporter: &HealthReporter, status: ServingStatus) {
    for service in ["", "Write", "Query", "Admin", "Log"] {
        let name = match service {
            "" => String::new(),
            service => format!("chronolith.v1.{service}Service"),
        };
        reporter.set_service_status(name, status).await;
    }
}
