//! Changes of the catalog as the log records them. Kinds are never reused. Format: docs/format/catalog.md.

use chronolith_codec::varint::{Reader, put_i64, put_u64};

use super::encode;
use crate::format::wire::{self, Decoded};
use crate::limits::NAME_LEN_BYTES_MAX;
use crate::model::{ColumnId, FieldDef, SchemaMode, TableId, TableSchema, TagDef};

/// One change of the catalog. Numbers are chosen by whoever makes the change, and checked when it is applied: a replay of the
/// log gives the same ones.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CatalogChange {
    /// A new table; its number is the catalog's next.
    CreateTable(TableSchema),
    /// A new tag, after the others; its number is the table's next.
    AddTag {
        /// The table.
        table: TableId,
        /// The tag.
        tag: TagDef,
    },
    /// A new field; its number is the table's next.
    AddField {
        /// The table.
        table: TableId,
        /// The field.
        field: FieldDef,
    },
    /// Another name for a table.
    RenameTable {
        /// The table.
        table: TableId,
        /// Its new name.
        name: String,
    },
    /// Another name for a tag or field.
    RenameColumn {
        /// The table.
        table: TableId,
        /// The column.
        column: ColumnId,
        /// Its new name.
        name: String,
    },
    /// The end of a table; its number is not given again.
    DropTable {
        /// The table.
        table: TableId,
    },
    /// The end of a field; its number is not given again. Tags cannot be dropped.
    DropField {
        /// The table.
        table: TableId,
        /// The field.
        column: ColumnId,
    },
    /// Another horizon of history.
    SetHistory {
        /// The table.
        table: TableId,
        /// Nanoseconds of commit time, not negative.
        history_ns: i64,
    },
    /// Another way to gain columns.
    SetMode {
        /// The table.
        table: TableId,
        /// The way.
        mode: SchemaMode,
    },
}

impl CatalogChange {
    /// The existing table that is changed; none for a new one.
    #[must_use]
    pub fn table(&self) -> Option<TableId> {
        match self {
            Self::CreateTable(_) => None,
            Self::AddTag { table, .. }
            | Self::AddField { table, .. }
            | Self::RenameTable { table, .. }
            | Self::RenameColumn { table, .. }
            | Self::DropTable { table }
            | Self::DropField { table, .. }
            | Self::SetHistory { table, .. }
            | Self::SetMode { table, .. } => Some(*table),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::CreateTable(_) => 1,
            Self::AddTag { .. } => 2,
            Self::AddField { .. } => 3,
            Self::RenameTable { .. } => 4,
            Self::RenameColumn { .. } => 5,
            Self::DropTable { .. } => 6,
            Self::DropField { .. } => 7,
            Self::SetHistory { .. } => 8,
            Self::SetMode { .. } => 9,
        }
    }

    /// Appends the change: its kind, then its fields.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind());
        if let Some(table) = self.table() {
            put_u64(out, u64::from(table.0));
        }
        match self {
            Self::CreateTable(schema) => encode::put_table(out, schema),
            Self::AddTag { tag, .. } => encode::put_tag(out, tag),
            Self::AddField { field, .. } => encode::put_field(out, field),
            Self::RenameTable { name, .. } => wire::put_text(out, name),
            Self::RenameColumn { column, name, .. } => {
                put_u64(out, u64::from(column.0));
                wire::put_text(out, name);
            }
            Self::DropField { column, .. } => put_u64(out, u64::from(column.0)),
            Self::SetHistory { history_ns, .. } => put_i64(out, *history_ns),
            Self::SetMode { mode, .. } => out.push(encode::mode_code(*mode)),
            Self::DropTable { .. } => {}
        }
    }

    /// Reads a change. Whether it fits a catalog is found when it is applied.
    ///
    /// # Errors
    /// `CodecError` for bytes that no encoder writes.
    pub fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let kind = reader.u8()?;
        if kind == 1 {
            return Ok(Self::CreateTable(encode::table(reader)?));
        }
        let table = TableId(wire::u32(reader)?);
        Ok(match kind {
            2 => Self::AddTag { table, tag: encode::tag(reader)? },
            3 => Self::AddField { table, field: encode::field(reader)? },
            4 => Self::RenameTable { table, name: name(reader)? },
            5 => {
                let column = ColumnId(wire::u32(reader)?);
                Self::RenameColumn { table, column, name: name(reader)? }
            }
            6 => Self::DropTable { table },
            7 => Self::DropField { table, column: ColumnId(wire::u32(reader)?) },
            8 => Self::SetHistory { table, history_ns: reader.i64()? },
            9 => Self::SetMode { table, mode: encode::mode(reader)? },
            _ => return Err(wire::corrupt("unknown kind of catalog change")),
        })
    }
}

fn name(reader: &mut Reader<'_>) -> Decoded<String> {
    wire::text(reader, "a name's bytes", NAME_LEN_BYTES_MAX)
}
