//! Arrow's IPC format, read from its beginning to its end: the stream, and the file, which is the stream between a magic
//! word and a footer. Each message is framed and bounded here before Arrow's decoder sees it. Nothing is allocated by
//! what a message announces: bytes are taken as they come, and what compressed bodies announce is added up first.
//! Format: <https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc>.

use std::io::Read;

use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::{CompressionType, MessageHeader, root_as_footer, root_as_message};
use arrow::record_batch::RecordBatch;

use super::super::super::{CtlError, CtlResult};
use super::columns::Batches;
use crate::contain::contained;
use crate::text::input::InputError;
use crate::text::shown;

/// The word around the file format.
const MAGIC: &[u8] = b"ARROW1";
/// The magic word and what fills it up to 8 bytes.
const FILE_HEAD_BYTES: usize = 8;
/// Words of zeros behind it, and one word of the first message.
const FILLING_WORDS_MAX: usize = 64;
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Longest description of a message, and longest footer.
const HEAD_BYTES_MAX: usize = 64 << 20;
/// Longest body of a message, as it is stored and unpacked.
const BODY_BYTES_MAX: u64 = 1 << 30;
const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Longest block of an LZ4 frame, unpacked.
const LZ4_BLOCK_BYTES_MAX: u64 = 4 << 20;
/// Bytes that are taken at a time.
const STEP_BYTES: usize = 256 << 10;

/// The batches of an IPC stream or file.
pub(super) struct IpcBatches<R> {
    bytes: R,
    name: String,
    decoder: StreamDecoder,
    schema: SchemaRef,
    /// Bytes that the decoder has not taken yet.
    pending: Buffer,
    is_file: bool,
    is_at_end: bool,
    batch_count: usize,
}

impl<R: Read> IpcBatches<R> {
    /// Reads up to the schema.
    ///
    /// # Errors
    /// `Input`, `Invalid`.
    pub(super) fn open(mut bytes: R, name: &str) -> CtlResult<Self> {
        let mut first = [0; 4];
        let mut is_file = false;
        let head = take(&mut bytes, name, first.len())?;
        if let Some(four) = head.first_chunk() {
            first = *four;
        }
        if MAGIC.starts_with(&first) {
            take(&mut bytes, name, FILE_HEAD_BYTES - first.len())?;
            is_file = true;
            first = after_filling(&mut bytes, name)?;
        }
        let mut this = Self {
            bytes,
            name: name.to_owned(),
            decoder: StreamDecoder::new(),
            schema: SchemaRef::new(arrow::datatypes::Schema::empty()),
            pending: Buffer::from(Vec::<u8>::new()),
            is_file,
            is_at_end: false,
            batch_count: 0,
        };
        let message = this.message(Some(first))?;
        let Some(message) = message else { return Err(this.damaged("it has no schema")) };
        let schema = contained(|| {
            let head = message.get(8..)?;
            let message = root_as_message(head).ok()?;
            message.header_as_schema().map(fb_to_schema)
        });
        let Ok(Some(schema)) = schema else {
            return Err(this.damaged("it does not begin with a schema"));
        };
        this.schema = SchemaRef::new(schema);
        this.pending = message;
        Ok(this)
    }

    fn damaged(&self, why: &str) -> CtlError {
        damaged(&self.name, self.batch_count, why)
    }

    fn take(&mut self, count: usize) -> CtlResult<Vec<u8>> {
        let taken = take_some(&mut self.bytes, &self.name, count)?;
        if taken.len() < count {
            return Err(self.damaged("it ends in the middle of a message"));
        }
        Ok(taken)
    }

    /// The next message, framed with eight bytes; none at the end. `first`: four bytes of it that were read.
    fn message(&mut self, first: Option<[u8; 4]>) -> CtlResult<Option<Buffer>> {
        let first = match first {
            Some(first) => first,
            None => {
                let word = take_some(&mut self.bytes, &self.name, 4)?;
                match word.first_chunk::<4>() {
                    Some(first) => *first,
                    // A stream may just end; a file may not.
                    None if word.is_empty() && !self.is_file => return Ok(None),
                    None => return Err(self.damaged("it ends in the middle of a message")),
                }
            }
        };
        // Before version 0.15 of Arrow no continuation stood before the length.
        let length = match first == CONTINUATION {
            true => self.take(4)?.first_chunk().copied().unwrap_or_default(),
            false => first,
        };
        let head_len = u32::from_le_bytes(length) as usize;
        if head_len == 0 {
            return Ok(None);
        }
        if head_len > HEAD_BYTES_MAX {
            return Err(self.damaged(&format!(
                "a message's description of {head_len} bytes, the limit is {HEAD_BYTES_MAX} bytes"
            )));
        }
        let mut whole = MutableBuffer::new(0);
        whole.extend_from_slice(&CONTINUATION);
        whole.extend_from_slice(&length);
        self.append(&mut whole, head_len)?;
        let body_len = contained(|| checked_body(whole.as_slice().get(8..).unwrap_or_default()));
        let body_len = body_len.unwrap_or_else(Err).map_err(|why| self.damaged(&why))?;
        self.append(&mut whole, body_len)?;
        let checked = contained(|| {
            let (head, body) = whole.as_slice().get(8..)?.split_at_checked(head_len)?;
            Some(check_compressed(head, body))
        });
        match checked {
            Ok(Some(Ok(()))) => Ok(Some(whole.into())),
            Ok(Some(Err(why))) => Err(self.damaged(&why)),
            _ => Err(self.damaged("a message contradicts itself")),
        }
    }

    fn append(&mut self, to: &mut MutableBuffer, mut count: usize) -> CtlResult<()> {
        while count > 0 {
            let step = self.take(count.min(STEP_BYTES))?;
            to.extend_from_slice(&step);
            count -= step.len();
        }
        Ok(())
    }

    /// Reads what lies behind the last message, to the end.
    fn finish(&mut self) -> CtlResult<()> {
        let rest = take_some(&mut self.bytes, &self.name, HEAD_BYTES_MAX + 1)?;
        if rest.len() > HEAD_BYTES_MAX {
            return Err(self.damaged("too many bytes follow its last batch"));
        }
        if !self.is_file {
            return match rest.is_empty() {
                true => Ok(()),
                false => Err(self.damaged("bytes follow the end of the stream")),
            };
        }
        let counted = contained(|| footer_batches(&rest)).ok().flatten();
        match counted {
            None => Err(self.damaged("its footer is missing or not whole")),
            Some(count) if count != self.batch_count => Err(self.damaged(&format!(
                "its footer lists {count} batches, {} were there",
                self.batch_count
            ))),
            Some(_) => Ok(()),
        }
    }

    fn decode(&mut self) -> CtlResult<Option<RecordBatch>> {
        let (decoder, pending) = (&mut self.decoder, &mut self.pending);
        let decoded = contained(|| decoder.decode(pending));
        match decoded {
            Ok(Ok(batch)) => Ok(batch),
            Ok(Err(error)) => Err(self.damaged(&reason(&error))),
            Err(_) => Err(self.damaged("its messages contradict themselves")),
        }
    }
}

impl<R: Read> Batches for IpcBatches<R> {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }

    fn next(&mut self) -> CtlResult<Option<RecordBatch>> {
        loop {
            if let Some(batch) = self.decode()? {
                self.batch_count += 1;
                return Ok(Some(batch));
            }
            if self.is_at_end {
                return Ok(None);
            }
            self.pending = match self.message(None)? {
                Some(message) => message,
                None => {
                    self.finish_stream()?;
                    continue;
                }
            };
        }
    }
}

impl<R: Read> IpcBatches<R> {
    /// Tells the decoder that the stream ends: it holds a last batch back where that has no body.
    fn finish_stream(&mut self) -> CtlResult<()> {
        let mut end = CONTINUATION.to_vec();
        end.extend_from_slice(&[0; 4]);
        self.pending = Buffer::from(end);
        if let Some(batch) = self.decode()? {
            self.batch_count += 1;
            if batch.num_rows() > 0 {
                return Err(self.damaged("its last batch has rows and no bytes"));
            }
            self.decode()?;
        }
        self.is_at_end = true;
        self.finish()
    }
}

fn damaged(name: &str, batch_count: usize, why: &str) -> CtlError {
    CtlError::Invalid(format!(
        "{name} is damaged, or no Arrow IPC that is known here: behind batch {batch_count}: {why}"
    ))
}

fn reason(error: &ArrowError) -> String {
    shown(error.to_string().as_bytes())
}

/// Up to `count` bytes; fewer only at the end. Memory grows with what comes.
fn take_some(bytes: &mut impl Read, name: &str, count: usize) -> CtlResult<Vec<u8>> {
    let mut taken = Vec::new();
    let read = bytes.take(count as u64).read_to_end(&mut taken);
    read.map_err(|error| InputError::from_io(name, error))?;
    Ok(taken)
}

/// The first word behind the head of a file, which some writers fill up with zeros to a multiple of more than 8 bytes.
fn after_filling(bytes: &mut impl Read, name: &str) -> CtlResult<[u8; 4]> {
    for _ in 0..FILLING_WORDS_MAX {
        let word = take(bytes, name, 4)?;
        if let Some(word) = word.first_chunk().filter(|word| **word != [0; 4]) {
            return Ok(*word);
        }
    }
    Err(damaged(name, 0, "it has no schema"))
}

fn take(bytes: &mut impl Read, name: &str, count: usize) -> CtlResult<Vec<u8>> {
    let taken = take_some(bytes, name, count)?;
    if taken.len() < count {
        return Err(damaged(name, 0, "it ends before its schema"));
    }
    Ok(taken)
}

/// The length of a message's body, in bounds, unpacked too.
fn checked_body(head: &[u8]) -> Result<usize, String> {
    let message = root_as_message(head).map_err(|error| shown(error.to_string().as_bytes()))?;
    let body = u64::try_from(message.bodyLength()).map_err(|_| "a body of negative length")?;
    if body > BODY_BYTES_MAX {
        return Err(format!(
            "a batch of {body} bytes, the limit is {BODY_BYTES_MAX} bytes: write smaller batches"
        ));
    }
    if message.header_type() == MessageHeader::NONE {
        return Err("a message of no kind".to_owned());
    }
    usize::try_from(body).map_err(|_| "a body beyond memory".to_owned())
}

/// Adds up what compressed buffers become.
fn check_compressed(head: &[u8], body: &[u8]) -> Result<(), String> {
    let message = root_as_message(head).map_err(|error| shown(error.to_string().as_bytes()))?;
    let batch = message.header_as_record_batch();
    let batch = batch.or_else(|| message.header_as_dictionary_batch().and_then(|one| one.data()));
    let Some((batch, codec)) = batch.and_then(|one| Some((one, one.compression()?.codec()))) else {
        return Ok(());
    };
    let mut total = 0_u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let (Ok(from), Ok(len)) =
            (usize::try_from(buffer.offset()), usize::try_from(buffer.length()))
        else {
            return Err("a buffer of negative length".to_owned());
        };
        if len == 0 {
            continue;
        }
        let bytes = from.checked_add(len).and_then(|to| body.get(from..to));
        let bytes = bytes.ok_or("a buffer lies outside of its batch")?;
        let (announced, packed) = bytes.split_first_chunk::<8>().ok_or("a buffer is cut")?;
        // -1: not compressed.
        let announced = u64::try_from(i64::from_le_bytes(*announced)).unwrap_or(0);
        total = total.saturating_add(announced);
        if announced > 0 && codec == CompressionType::LZ4_FRAME {
            let most = lz4_len_max(packed).ok_or("an LZ4 frame is damaged")?;
            if most.saturating_sub(LZ4_BLOCK_BYTES_MAX) > announced {
                return Err("an LZ4 frame holds more than it announces".to_owned());
            }
        }
    }
    if total > BODY_BYTES_MAX {
        return Err(format!(
            "a batch of {total} bytes unpacked, the limit is {BODY_BYTES_MAX} bytes: write smaller batches"
        ));
    }
    Ok(())
}

/// Bytes to which an LZ4 frame can grow: its blocks, each as large as they may be. None where it is no single frame.
/// Format: <https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md>.
fn lz4_len_max(frame: &[u8]) -> Option<u64> {
    let (magic, rest) = frame.split_first_chunk::<4>()?;
    let (&[flags, sizes], rest) = rest.split_first_chunk::<2>()?;
    let block_bytes = 1_u64 << (8 + 2 * u32::from((sizes >> 4) & 7));
    let optional = 8 * usize::from(flags >> 3 & 1) + 4 * usize::from(flags & 1);
    // The header's checksum ends it.
    let mut rest = rest.get(optional + 1..)?;
    let block_sum_bytes = 4 * usize::from(flags >> 4 & 1);
    let mut blocks = 0;
    loop {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        if length == 0 {
            let is_whole = behind.len() == 4 * usize::from(flags >> 2 & 1);
            return (is_whole && *magic == LZ4_MAGIC).then(|| blocks * block_bytes);
        }
        blocks += 1;
        rest = behind.get((length & 0x7fff_ffff) as usize + block_sum_bytes..)?;
    }
}

/// The batches that a file's footer lists; none where it is no footer.
fn footer_batches(tail: &[u8]) -> Option<usize> {
    let footer = tail.strip_suffix(MAGIC)?;
    let (footer, length) = footer.split_last_chunk::<4>()?;
    let length = usize::try_from(i32::from_le_bytes(*length)).ok()?;
    let footer = footer.get(footer.len().checked_sub(length)?..)?;
    let footer = root_as_footer(footer).ok()?;
    Some(footer.recordBatches().map_or(0, |batches| batches.len()))
}
