//! Every named limit of the engine, with its unit in its name.

/// Bytes of one tag value, inclusive.
pub const TAG_VALUE_LEN_BYTES_MAX: usize = 4 << 10;
/// Bytes of one series key, inclusive.
pub const SERIES_KEY_LEN_BYTES_MAX: usize = 16 << 10;
/// Tags of one table, inclusive.
pub const TAG_COUNT_MAX: usize = 64;
/// Fields of one table, inclusive.
pub const FIELD_COUNT_MAX: usize = 4_096;
/// Tables of one database, inclusive.
pub const TABLE_COUNT_MAX: usize = 100_000;
/// Bytes of a table's or column's name, inclusive.
pub const NAME_LEN_BYTES_MAX: usize = 256;
/// Bytes of one text field value, inclusive.
pub const TEXT_LEN_BYTES_MAX: usize = 1 << 20;
/// Bytes of one batch as a log record, inclusive.
pub const BATCH_BYTES_MAX: usize = 64 << 20;
/// Rows of one batch, over all its tables, inclusive.
pub const BATCH_ROWS_MAX: usize = 4 << 20;
/// Bytes of each of a batch's four metadata strings, inclusive.
pub const METADATA_LEN_BYTES_MAX: usize = 256;
/// Bytes of a producer's name, inclusive.
pub const PRODUCER_LEN_BYTES_MAX: usize = 256;
/// Producers that a database remembers; beyond it those idle longest are forgotten.
pub const PRODUCER_COUNT_MAX: usize = 100_000;

/// Rows of a row group: the rows of one block.
pub const ROW_GROUP_ROWS: usize = 64 << 10;
/// Values of a page: the unit of reading.
pub const PAGE_ROWS: usize = 4 << 10;
/// Bytes of one page after decompression, inclusive: `PAGE_ROWS` texts are cut into pages by it.
pub const PAGE_BYTES_MAX: usize = 32 << 20;

/// Bytes at which a row group ends early, counting 24 a row, 8 a field and the texts: bounds a writer's memory.
pub const ROW_GROUP_BYTES_MAX: usize = 256 << 20;
/// Series of one block of a segment's dictionary and last-row strip, and values of one block of its tag index.
pub const INDEX_BLOCK_COUNT_MAX: usize = 256;
/// Bytes of postings at which a block of a tag index ends early.
pub const POSTINGS_BLOCK_BYTES: usize = 16 << 10;
/// Rows a series, on average, from which on a segment carries a last-row strip.
pub const LAST_ROWS_MIN_COUNT: u64 = 64;
/// Bytes of last rows that readers keep beside lists of segments, over all tables of the process.
pub const LAST_ROWS_KEPT_BYTES_MAX: usize = 64 << 20;

/// Bytes to which log groups are aligned: a durable sector is never written again.
pub const LOG_SECTOR_BYTES: usize = 512;
/// Bytes of one log group's payload, inclusive.
pub const LOG_GROUP_BYTES_MAX: usize = 256 << 20;

/// Bytes of zeros that one write puts ahead of the log.
pub const LOG_FILL_BYTES: usize = 64 << 10;
/// Bytes of zeros that a step of preparing the log writes and syncs.
pub const LOG_FILL_STEP_BYTES: u64 = 256 << 10;
/// Bytes of a log group up to which the zeros ahead are looked after: larger ones gain nothing by them.
pub const LOG_SMALL_GROUP_BYTES: usize = 16 << 10;

/// The reserve on the disk takes at most one part in so many of what is free when it is made.
pub const RESERVE_PART_COUNT: u64 = 32;
/// Bytes that the reserve is a multiple of, up to its limit.
pub const RESERVE_STEP_BYTES: u64 = 4 << 10;
/// Bytes that must be free beside a batch of rows while the disk is full.
pub const SPACE_SLACK_BYTES: u64 = 64 << 10;

/// Edits between two manifest checkpoints.
pub const MANIFEST_CHECKPOINT_EDIT_COUNT: u64 = 64;

/// Nanoseconds of one hour: the narrowest partition window.
pub const PARTITION_BASE_NS: i64 = 3_600_000_000_000;
/// The widest partition window is `PARTITION_BASE_NS << PARTITION_SHIFT_COUNT_MAX`.
pub const PARTITION_SHIFT_COUNT_MAX: u8 = 16;

/// Nanoseconds of history that a table keeps by default: 24 hours of commit time.
pub const HISTORY_DEFAULT_NS: i64 = 24 * 3_600_000_000_000;
/// Resolution of commit times, in nanoseconds.
pub const COMMIT_TIME_STEP_NS: i64 = 100_000_000;

const _: () = assert!(ROW_GROUP_ROWS.is_multiple_of(PAGE_ROWS));
const _: () = assert!(BATCH_BYTES_MAX <= LOG_GROUP_BYTES_MAX);
const _: () = assert!(TAG_VALUE_LEN_BYTES_MAX < SERIES_KEY_LEN_BYTES_MAX);
