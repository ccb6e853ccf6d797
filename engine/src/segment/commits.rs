//! The commit metadata of a segment's rows: for each sequence that came with any, its four strings.

use std::collections::BTreeMap;

use chronolith_codec::varint::{self, Reader};
use chronolith_codec::{CodecError, Effort, TextBuf};

use crate::limits::METADATA_LEN_BYTES_MAX;
use crate::model::{CommitMetadata, Sequence};

use super::parts;

/// Appends the section: how many sequences, then incarnations, counters and the strings, column by column.
#[expect(clippy::cast_possible_wrap, reason = "counters are stored as their bit patterns")]
pub(crate) fn encode(commits: &BTreeMap<Sequence, CommitMetadata>) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put_u64(&mut out, commits.len() as u64);
    let incarnations: Vec<i64> = commits.keys().map(|key| i64::from(key.incarnation)).collect();
    let counters: Vec<i64> = commits.keys().map(|key| key.counter as i64).collect();
    parts::put_ints(&mut out, &incarnations, Effort::Dense);
    parts::put_ints(&mut out, &counters, Effort::Dense);
    for field in [principal, source, event_id, pipeline_version] {
        let texts: TextBuf = commits.values().map(field).collect();
        parts::put_texts(&mut out, &texts, Effort::Dense);
    }
    out
}

fn principal(metadata: &CommitMetadata) -> &str {
    &metadata.principal
}

fn source(metadata: &CommitMetadata) -> &str {
    &metadata.source
}

fn event_id(metadata: &CommitMetadata) -> &str {
    &metadata.event_id
}

fn pipeline_version(metadata: &CommitMetadata) -> &str {
    &metadata.pipeline_version
}

/// The metadata that [`encode`] wrote, by sequence. At most `row_count` commits are believed.
pub(crate) fn decode(
    bytes: &[u8],
    row_count: u64,
) -> Result<Vec<(Sequence, CommitMetadata)>, CodecError> {
    let corrupt = |what| CodecError::Corrupt { what };
    let mut reader = Reader::new(bytes);
    let count = reader.u64()?;
    let count = usize::try_from(count).ok().filter(|count| *count as u64 <= row_count);
    let count = count.ok_or(corrupt("more commits than rows"))?;
    let incarnations = parts::get_ints(&mut reader, count)?;
    let counters = parts::get_ints(&mut reader, count)?;
    let mut text = || parts::get_texts(&mut reader, count, METADATA_LEN_BYTES_MAX);
    let texts = [text()?, text()?, text()?, text()?];
    reader.finish()?;
    let mut commits = Vec::with_capacity(count);
    for (index, (incarnation, counter)) in incarnations.into_iter().zip(counters).enumerate() {
        let incarnation = u32::try_from(incarnation);
        let incarnation = incarnation.map_err(|_| corrupt("an incarnation passes 32 bits"))?;
        let [principal, source, event_id, pipeline_version] =
            texts.each_ref().map(|texts| texts.get(index).unwrap_or_default().to_owned());
        let metadata = CommitMetadata { principal, source, event_id, pipeline_version };
        commits.push((Sequence { incarnation, counter: counter as u64 }, metadata));
    }
    Ok(commits)
}
