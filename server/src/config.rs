//! The server's settings, with units: defaults, then the file, then the environment, then flags.
//! A key that is not known is refused with its line. Every key K is also read from `CHRONOLITH_<K>`, a key of a table
//! from `CHRONOLITH_<TABLE>_<K>`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use chronolith_engine::model::OnPressure;
use chronolith_proto::MESSAGE_BYTES_MAX;

/// Where the gRPC interface listens by default.
pub const GRPC_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7401);
/// Where `/health` and `/metrics` listen by default.
pub const HTTP_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7400);

/// What a file, the environment or the flags say; nothing is left to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The database's directory.
    pub data: Option<PathBuf>,
    /// The address of the gRPC interface.
    pub grpc: Option<SocketAddr>,
    /// The address of `/health` and `/metrics`.
    pub http: Option<SocketAddr>,
    /// Whether addresses that others reach are allowed, without encryption.
    pub insecure: Option<bool>,
    /// The database's memory: a count of bytes, or text with KiB, MiB, GiB.
    pub memory: Option<Size>,
    /// Bytes of one request.
    pub request: Option<Size>,
    /// Bytes of requests that are taken in at a time, over all connections.
    pub requests_in_flight: Option<Size>,
    /// Calls at a time on one connection.
    pub streams_per_connection: Option<u32>,
    /// Requests of one write stream ahead of their answers.
    pub window_requests: Option<u32>,
    /// Bytes of one write stream's requests ahead of their answers.
    pub window: Option<Size>,
    /// Queries at a time.
    pub queries: Option<u32>,
    /// Memory that one SQL statement may hold.
    pub query_memory: Option<Size>,
    /// Threads for writes.
    pub write_threads: Option<u32>,
    /// Threads for reads.
    pub read_threads: Option<u32>,
    /// Seconds after which a query is ended.
    pub query_seconds: Option<u32>,
    /// Seconds that calls have to end when the server shuts down.
    pub drain_seconds: Option<u32>,
    /// The table `[write]`.
    pub write: Option<WriteLayer>,
}

/// What the table `[write]` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteLayer {
    /// What a write does while memory for rows is full.
    pub on_pressure: Option<OnPressureText>,
}

/// What a write does while memory for rows is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnPressureText {
    /// It waits for memory, up to 30 s.
    Wait,
    /// It is refused at once.
    Refuse,
}

impl From<OnPressureText> for OnPressure {
    fn from(text: OnPressureText) -> Self {
        match text {
            OnPressureText::Wait => Self::Wait,
            OnPressureText::Refuse => Self::Refuse,
        }
    }
}

/// The keys of [`Layer`], as the environment knows them; a key of a table stands behind its name and a dot.
const KEYS: [&str; 17] = [
    "data",
    "grpc",
    "http",
    "insecure",
    "memory",
    "request",
    "requests_in_flight",
    "streams_per_connection",
    "window_requests",
    "window",
    "queries",
    "query_memory",
    "write_threads",
    "read_threads",
    "query_seconds",
    "drain_seconds",
    "write.on_pressure",
];

/// What other parts of the program read of the environment, behind `CHRONOLITH_`.
const OTHER_VARIABLES: [&str; 3] = ["HISTORY", "LOG", "URL"];

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SizeText")]
pub struct Size(pub usize);

#[derive(Deserialize)]
#[serde(untagged)]
enum SizeText {
    Bytes(u64),
    Text(String),
}

impl TryFrom<SizeText> for Size {
    type Error = String;

    fn try_from(text: SizeText) -> Result<Self, String> {
        match text {
            SizeText::Bytes(bytes) => usize::try_from(bytes)
                .map(Self)
                .map_err(|_| "more than this machine can address".to_owned()),
            SizeText::Text(text) => parse_bytes(&text).map(Self),
        }
    }
}

/// Bytes, or with KiB, MiB, GiB.
///
/// # Errors
/// A message.
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let factor = match unit {
        "" | "B" => 1,
        "KiB" | "K" | "k" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err(format!("unknown unit {unit:?}: write KiB, MiB or GiB")),
    };
    let count: usize = digits.trim().parse().map_err(|_| "not a number of bytes".to_owned())?;
    count.checked_mul(factor).ok_or_else(|| "more than this machine can address".to_owned())
}

/// Why settings are refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not what it should be: where, and why.
    #[error("{name}: {message}")]
    File {
        /// The file's name.
        name: String,
        /// The line, the key, and the reason.
        message: String,
    },
    /// A variable of the environment is not what it should be.
    #[error("{variable} is {value:?}: {message}")]
    Variable {
        /// Its name.
        variable: String,
        /// Its value.
        value: String,
        /// The reason.
        message: String,
    },
    /// Settings that do not go together.
    #[error("{0}")]
    Invalid(String),
}

impl Layer {
    /// The settings in the TOML text of the file `name`.
    ///
    /// # Errors
    /// `File` for keys that are not known, with their line, and for values that are none.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| {
                let before = text.get(..span.start).unwrap_or(text);
                let line = before.matches('\n').count();
                (line + 1, text.lines().nth(line).unwrap_or_default().trim())
            });
            // The reason alone may not say which key it is about.
            let at =
                line.map_or_else(String::new, |(line, text)| format!("line {line}, `{text}`: "));
            let message = format!("{at}{}", error.message().trim_end());
            ConfigError::File { name: name.to_owned(), message }
        })
    }

    /// The settings in the environment, which `get` reads.
    ///
    /// # Errors
    /// `Variable`.
    pub fn from_environment(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut layer = Self::default();
        for key in KEYS {
            let variable = format!("CHRONOLITH_{}", key.replace('.', "_").to_uppercase());
            let Some(value) = get(&variable).filter(|value| !value.is_empty()) else { continue };
            let typed = value.parse().map(toml::Value::Integer);
            let typed = typed.or_else(|_| value.parse().map(toml::Value::Boolean));
            let typed = typed.unwrap_or_else(|_| toml::Value::String(value.clone()));
            let alone = |key: &str, value| toml::Table::from_iter([(key.to_owned(), value)]);
            let one = match key.split_once('.') {
                Some((table, key)) => alone(table, alone(key, typed).into()),
                None => alone(key, typed),
            };
            let one: Self =
                one.try_into().map_err(|error: toml::de::Error| ConfigError::Variable {
                    variable,
                    value,
                    message: error.message().trim_end().to_owned(),
                })?;
            layer = one.or(layer);
        }
        Ok(layer)
    }

    /// The variables among `names` that look like settings and are none.
    #[must_use]
    pub fn unknown_variables<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let is_known = |rest: &str| {
            OTHER_VARIABLES.contains(&rest)
                || KEYS.iter().any(|key| key.replace('.', "_").to_uppercase() == rest)
        };
        names
            .filter(|name| name.strip_prefix("CHRONOLITH_").is_some_and(|rest| !is_known(rest)))
            .collect()
    }

    /// These settings, and where they say nothing those of `lower`.
    #[must_use]
    pub fn or(self, lower: Self) -> Self {
        Self {
            data: self.data.or(lower.data),
            grpc: self.grpc.or(lower.grpc),
            http: self.http.or(lower.http),
            insecure: self.insecure.or(lower.insecure),
            memory: self.memory.or(lower.memory),
            request: self.request.or(lower.request),
            requests_in_flight: self.requests_in_flight.or(lower.requests_in_flight),
            streams_per_connection: self.streams_per_connection.or(lower.streams_per_connection),
            window_requests: self.window_requests.or(lower.window_requests),
            window: self.window.or(lower.window),
            queries: self.queries.or(lower.queries),
            query_memory: self.query_memory.or(lower.query_memory),
            write_threads: self.write_threads.or(lower.write_threads),
            read_threads: self.read_threads.or(lower.read_threads),
            query_seconds: self.query_seconds.or(lower.query_seconds),
            drain_seconds: self.drain_seconds.or(lower.drain_seconds),
            write: match (self.write, lower.write) {
                (Some(upper), Some(lower)) => {
                    Some(WriteLayer { on_pressure: upper.on_pressure.or(lower.on_pressure) })
                }
                (upper, lower) => upper.or(lower),
            },
        }
    }
}

/// The settings of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The database's directory.
    pub data: PathBuf,
    /// The address of the gRPC interface.
    pub grpc: SocketAddr,
    /// The address of `/health` and `/metrics`.
    pub http: SocketAddr,
    /// Bytes of memory of the database; none: the engine's default.
    pub memory_bytes: Option<usize>,
    /// What bounds requests.
    pub limits: Limits,
}

/// What bounds requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one request, at most `MESSAGE_BYTES_MAX`.
    pub request_bytes: usize,
    /// Bytes of requests that are taken in at a time, over all connections. Decoding may hold a few times as much.
    pub requests_in_flight_bytes: usize,
    /// Calls at a time on one connection.
    pub streams_per_connection_count: u32,
    /// Requests of one write stream ahead of their answers.
    pub window_count: u32,
    /// Bytes of one write stream's requests ahead of their answers.
    pub window_bytes: usize,
    /// Queries at a time.
    pub query_count: usize,
    /// Bytes that one SQL statement may hold; none: half of the memory for reads.
    pub query_memory_bytes: Option<usize>,
    /// Threads for writes.
    pub write_thread_count: usize,
    /// Threads for reads.
    pub read_thread_count: usize,
    /// After which a query is ended.
    pub query_time: Duration,
    /// What calls have to end in when the server shuts down.
    pub drain_time: Duration,
    /// What a write does while memory for rows is full.
    pub on_pressure: OnPressure,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: MESSAGE_BYTES_MAX,
            requests_in_flight_bytes: 256 << 20,
            streams_per_connection_count: 256,
            window_count: 64,
            window_bytes: 32 << 20,
            query_count: 64,
            query_memory_bytes: None,
            write_thread_count: 16,
            read_thread_count: 16,
            query_time: Duration::from_secs(600),
            drain_time: Duration::from_secs(20),
            on_pressure: OnPressure::Wait,
        }
    }
}

impl Config {
    /// The settings that `layer` says, with defaults.
    ///
    /// # Errors
    /// `Invalid` where a directory is missing, an address is open to others without leave, or a limit is too small.
    pub fn new(layer: Layer) -> Result<Self, ConfigError> {
        let invalid = |message: String| Err(ConfigError::Invalid(message));
        let Some(data) = layer.data else {
            return invalid("no directory is given: --data DIR, or data in the file".to_owned());
        };
        let (grpc, http) = (layer.grpc.unwrap_or(GRPC_DEFAULT), layer.http.unwrap_or(HTTP_DEFAULT));
        for (name, address) in [("grpc", grpc), ("http", http)] {
            if !address.ip().is_loopback() && layer.insecure != Some(true) {
                return invalid(format!(
                    "{name} address {address} is reached from other machines, without encryption or passwords: \
                     --insecure allows that"
                ));
            }
        }
        let default = Limits::default();
        let seconds = |given: Option<u32>, default: Duration| {
            given.map_or(default, |seconds| Duration::from_secs(u64::from(seconds)))
        };
        let count =
            |given: Option<u32>, default: usize| given.map_or(default, |count| count as usize);
        let bytes = |given: Option<Size>, default: usize| given.map_or(default, |size| size.0);
        let limits = Limits {
            request_bytes: bytes(layer.request, default.request_bytes),
            requests_in_flight_bytes: bytes(
                layer.requests_in_flight,
                default.requests_in_flight_bytes,
            ),
            streams_per_connection_count: layer
                .streams_per_connection
                .unwrap_or(default.streams_per_connection_count),
            window_count: layer.window_requests.unwrap_or(default.window_count),
            window_bytes: bytes(layer.window, default.window_bytes),
            query_count: count(layer.queries, default.query_count),
            query_memory_bytes: layer.query_memory.map(|size| size.0),
            write_thread_count: count(layer.write_threads, default.write_thread_count),
            read_thread_count: count(layer.read_threads, default.read_thread_count),
            query_time: seconds(layer.query_seconds, default.query_time),
            drain_time: seconds(layer.drain_seconds, default.drain_time),
            on_pressure: layer
                .write
                .and_then(|write| write.on_pressure)
                .map_or(default.on_pressure, OnPressure::from),
        };
        limits.check()?;
        let memory_bytes = layer.memory.map(|size| size.0);
        if let Some(bytes) = memory_bytes.filter(|bytes| *bytes < MEMORY_BYTES_MIN) {
            return invalid(format!(
                "memory is {bytes} bytes: less than the {} MiB that a database needs",
                MEMORY_BYTES_MIN >> 20
            ));
        }
        Ok(Self { data, grpc, http, memory_bytes, limits })
    }
}

/// The least memory that a database is given: below it batches would not fit.
pub const MEMORY_BYTES_MIN: usize = 64 << 20;

/// The least that one request may be limited to: a text and what stands around it fit.
pub const REQUEST_BYTES_MIN: usize = 2 << 20;

impl Limits {
    fn check(&self) -> Result<(), ConfigError> {
        if !(REQUEST_BYTES_MIN..=MESSAGE_BYTES_MAX).contains(&self.request_bytes) {
            return Err(ConfigError::Invalid(format!(
                "request is {} bytes: it must be from {REQUEST_BYTES_MIN} to {MESSAGE_BYTES_MAX}",
                self.request_bytes
            )));
        }
        if self.requests_in_flight_bytes < self.request_bytes {
            return Err(ConfigError::Invalid(format!(
                "requests_in_flight is {} bytes: less than one request may have ({} bytes)",
                self.requests_in_flight_bytes, self.request_bytes
            )));
        }
        let counts = [
            ("streams_per_connection", self.streams_per_connection_count as usize),
            ("window_requests", self.window_count as usize),
            ("window", self.window_bytes),
            ("queries", self.query_count),
            ("query_memory", self.query_memory_bytes.unwrap_or(1)),
            ("write_threads", self.write_thread_count),
            ("read_threads", self.read_thread_count),
            ("query_seconds", usize::from(!self.query_time.is_zero())),
        ];
        for (name, count) in counts {
            if count == 0 {
                return Err(ConfigError::Invalid(format!("{name} is 0: it must be above")));
            }
        }
        let most = [
            ("window_requests", self.window_count as usize, 65_536),
            ("queries", self.query_count, 65_536),
            ("write_threads", self.write_thread_count, 1_024),
            ("read_threads", self.read_thread_count, 1_024),
        ];
        match most.into_iter().find(|(_, count, most)| count > most) {
            Some((name, count, most)) => {
                Err(ConfigError::Invalid(format!("{name} is {count}: it may be {most} at most")))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error =
            Layer::parse("c.toml", "data = \"d\"\n# x\ngprc = \"127.0.0.1:1\"\n").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("c.toml") && text.contains("line 3") && text.contains("gprc"),
            "{text}"
        );
        let error = Layer::parse("c.toml", "memory = \"3 parsecs\"").unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("parsecs"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_line_and_key() {
        let error =
            Layer::parse("c.toml", "data = \"d\"\nqueries = \"x\"\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("queries"), "{error}");
    }

    #[test]
    fn variables_that_are_no_settings_are_told() {
        let names = ["CHRONOLITH_MEMROY", "CHRONOLITH_MEMORY", "CHRONOLITH_WRITE_ON_PRESSURE"];
        let names = names.into_iter().chain(["CHRONOLITH_URL", "HOME", "CHRONOLITH_LOG"]);
        assert_eq!(Layer::unknown_variables(names), ["CHRONOLITH_MEMROY"]);
    }

    #[test]
    fn flags_pass_the_environment_and_that_the_file() {
        let file = Layer::parse("f", "data = \"f\"\nqueries = 3\nmemory = \"1GiB\"").unwrap();
        let get = |name: &str| match name {
            "CHRONOLITH_QUERIES" => Some("5".to_owned()),
            "CHRONOLITH_GRPC" => Some("127.0.0.1:9".to_owned()),
            "CHRONOLITH_INSECURE" => Some("true".to_owned()),
            _ => None,
        };
        let environment = Layer::from_environment(&get).unwrap();
        assert_eq!(environment.insecure, Some(true));
        let flags = Layer { data: Some("x".into()), ..Layer::default() };
        let config = Config::new(flags.or(environment).or(file)).unwrap();
        assert_eq!(config.data, PathBuf::from("x"));
        assert_eq!((config.limits.query_count, config.grpc.port()), (5, 9));
        assert_eq!(config.memory_bytes, Some(1 << 30));
        let bad = |name: &str| (name == "CHRONOLITH_HTTP").then(|| "here".to_owned());
        let text = Layer::from_environment(&bad).unwrap_err().to_string();
        assert!(text.starts_with("CHRONOLITH_HTTP is \"here\""), "{text}");
    }

    #[test]
    fn a_table_of_the_file_is_read_and_from_the_environment_too() {
        let file = Layer::parse("f", "data = \"d\"\n[write]\non_pressure = \"refuse\"\n").unwrap();
        let config = |layer| Config::new(layer).unwrap().limits.on_pressure;
        assert_eq!(config(file.clone()), OnPressure::Refuse);
        let data = Layer { data: Some("d".into()), ..Layer::default() };
        assert_eq!(config(data), OnPressure::Wait);
        let of = |value: &'static str| {
            let get = move |name: &str| {
                (name == "CHRONOLITH_WRITE_ON_PRESSURE").then(|| value.to_owned())
            };
            Layer::from_environment(&get)
        };
        assert_eq!(config(of("wait").unwrap().or(file)), OnPressure::Wait);
        let text = of("faint").unwrap_err().to_string();
        assert!(text.starts_with("CHRONOLITH_WRITE_ON_PRESSURE is \"faint\""), "{text}");
        let error = Layer::parse("f", "[write]\nonpressure = \"wait\"").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("onpressure"), "{error}");
    }

    #[test]
    fn addresses_of_others_and_empty_limits_are_refused() {
        let open = |insecure| Layer {
            data: Some("d".into()),
            grpc: Some("0.0.0.0:7401".parse().unwrap()),
            insecure,
            ..Layer::default()
        };
        assert!(Config::new(open(None)).unwrap_err().to_string().contains("--insecure"));
        assert!(Config::new(open(Some(true))).is_ok());
        let zero = Layer { data: Some("d".into()), queries: Some(0), ..Layer::default() };
        assert!(Config::new(zero).unwrap_err().to_string().contains("queries is 0"));
        assert!(Config::new(Layer::default()).unwrap_err().to_string().contains("--data"));
        let sized = |request, in_flight| Layer {
            data: Some("d".into()),
            request: Some(Size(request)),
            requests_in_flight: Some(Size(in_flight)),
            ..Layer::default()
        };
        assert!(Config::new(sized(2 << 20, 2 << 20)).is_ok());
        let text = |layer| Config::new(layer).unwrap_err().to_string();
        assert!(text(sized(4 << 20, 3 << 20)).starts_with("requests_in_flight is 3145728"));
        assert!(text(sized(1 << 20, 3 << 20)).starts_with("request is 1048576"));
        assert!(text(sized(65 << 20, 99 << 20)).starts_with("request is 68157440"));
    }
}
