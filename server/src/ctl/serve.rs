//! `chronolith serve`: the database over the network.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{CtlError, CtlResult, print, remark};
use crate::config::{Config, Layer, Size, parse_bytes};
use crate::shutdown::{self, Trigger};
use crate::{Listeners, run as serve};

/// Serve a database: gRPC, and HTTP for /health and /metrics
///
/// Ends with SIGTERM or Ctrl-C: takes no more calls, ends those that run, flushes and closes. A second signal ends it at
/// once, and loses nothing that was acknowledged. Settings come from flags, then the environment (CHRONOLITH_ and the
/// key in capitals), then the file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chronolith serve --data ./db
  chronolith serve --config /etc/chronolith.toml
  chronolith tables --url http://127.0.0.1:7401       (from another terminal)")]
pub(super) struct ServeArgs {
    /// The database's directory, made where there is none
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A file with settings (TOML), see docs/OPERATING.md
    #[arg(long, env = "CHRONOLITH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address of the gRPC interface; 127.0.0.1:7401 by default, port 0 for any that is free
    #[arg(long, value_name = "ADDR")]
    grpc: Option<SocketAddr>,
    /// The address of /health and /metrics; 127.0.0.1:7400 by default
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Allow addresses that other machines reach: nothing is encrypted and nobody is asked who they are
    #[arg(long)]
    insecure: bool,
    /// Memory that the database may use: bytes, or with KiB, MiB, GiB. A quarter of the machine's by default
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    memory: Option<usize>,
    /// End at once when standard input ends: for a server that must not outlive the process that started it
    #[arg(long, hide = true)]
    while_stdin: bool,
}

impl ServeArgs {
    fn config(self) -> CtlResult<Config> {
        let file = self.config.as_deref().map(read).transpose()?.unwrap_or_default();
        let environment = Layer::from_environment(&|name| std::env::var(name).ok())?;
        let flags = Layer {
            data: self.data,
            grpc: self.grpc,
            http: self.http,
            insecure: self.insecure.then_some(true),
            memory: self.memory.map(Size),
            ..Layer::default()
        };
        Ok(Config::new(flags.or(environment).or(file))?)
    }
}

fn read(path: &Path) -> CtlResult<Layer> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        CtlError::Invalid(format!("cannot read the configuration {name}: {error}"))
    })?;
    Ok(Layer::parse(&name, &text)?)
}

pub(super) fn run(args: ServeArgs) -> CtlResult<()> {
    let filter =
        EnvFilter::try_from_env("CHRONOLITH_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Another one stays where it is.
    let _ = log.with_ansi(false).try_init();
    if args.while_stdin {
        end_with_standard_input();
    }
    let names: Vec<String> =
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
    for name in Layer::unknown_variables(names.iter().map(String::as_str)) {
        // Not refused: whoever starts processes sets variables after a service's name.
        remark(&format!("warning: {name} in the environment is none of the server's settings"));
    }
    let config = args.config()?;
    let threads = config.limits.write_thread_count + config.limits.read_thread_count;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(threads + SPARE_THREADS)
        .thread_name("chronolith-net")
        .enable_all()
        .build()
        .map_err(|error| {
            CtlError::Failed(format!("cannot start the network's threads: {error}"))
        })?;
    let served = runtime.block_on(serve_until_signal(&config));
    // Work on calls that were cut off is not waited for: nothing of it was acknowledged.
    runtime.shutdown_background();
    served
}

/// Ends this process when its standard input does, which is when the process that holds the other end is gone, however
/// it ended.
#[expect(clippy::disallowed_methods, reason = "it waits for input, and ends with the process")]
pub(super) fn end_with_standard_input() {
    std::thread::spawn(|| {
        let mut input = std::io::stdin().lock();
        while std::io::Read::read(&mut input, &mut [0; 64]).is_ok_and(|count| count > 0) {}
        std::process::exit(EXIT_ABANDONED);
    });
}

/// The exit code of a process whose parent is gone.
const EXIT_ABANDONED: i32 = 1;

/// Threads for upkeep, opening and closing.
const SPARE_THREADS: usize = 16;

async fn serve_until_signal(config: &Config) -> CtlResult<()> {
    let (trigger, shutdown) = shutdown::channel();
    tokio::spawn(hear(trigger));
    let listeners = Listeners::bind(config.grpc, config.http).await?;
    let ready = format!(
        "serving {}: gRPC http://{}, HTTP http://{}\n",
        config.data.display(),
        listeners.grpc_address,
        listeners.http_address
    );
    serve(listeners, config, shutdown, move || {
        // Whoever started the server may have closed its end.
        let _ = print(&ready);
    })
    .await?;
    remark("closed");
    Ok(())
}

/// The first signal shuts down, the second ends the process.
async fn hear(trigger: Trigger) {
    if shutdown::next_signal().await.is_err() {
        remark("warning: signals cannot be heard");
        std::future::pending::<()>().await;
    }
    remark(
        "shutting down: calls are ended, then the database is closed; another signal ends at once",
    );
    trigger.fire();
    let _ = shutdown::next_signal().await;
    remark("ended without closing: what was acknowledged is in the log");
    std::process::exit(130);
}
