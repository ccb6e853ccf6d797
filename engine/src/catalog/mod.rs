//! The catalog: which tables and columns exist, under which never-reused numbers. A catalog is immutable; applying a
//! [`CatalogChange`] gives the next one. Format: docs/format/catalog.md. Rules: docs/decisions/0001-identity.md.

mod change;
mod check;
mod encode;
mod nearest;
#[cfg(test)]
mod tests;

pub use change::CatalogChange;
pub use check::{SYSTEM_TABLE_PREFIX, check_column_name, check_table_name};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::limits::{FIELD_COUNT_MAX, TABLE_COUNT_MAX, TAG_COUNT_MAX};
use crate::model::{ColumnId, FieldDef, FieldType, TableId, TableOptions, TableSchema, TagDef};

/// All tables of a database at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    tables: BTreeMap<TableId, Arc<TableSchema>>,
    names: Arc<BTreeMap<String, TableId>>,
    next_table: u32,
}

impl Default for Catalog {
    fn default() -> Self {
        Self { tables: BTreeMap::new(), names: Arc::default(), next_table: 1 }
    }
}

impl Catalog {
    /// The table `name`.
    ///
    /// # Errors
    /// `UnknownTable` with the nearest names.
    pub fn get(&self, name: &str) -> Result<&Arc<TableSchema>> {
        self.find(name).ok_or_else(|| Error::UnknownTable {
            table: name.to_owned(),
            known: nearest::nearest(
                name,
                self.names().filter(|known| !known.starts_with(SYSTEM_TABLE_PREFIX)),
            ),
        })
    }

    /// The table `name`, if it exists.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<TableSchema>> {
        self.by_id(*self.names.get(name)?)
    }

    /// The table numbered `id`, if it exists.
    #[must_use]
    pub fn by_id(&self, id: TableId) -> Option<&Arc<TableSchema>> {
        self.tables.get(&id)
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// The tables by number.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableSchema>> {
        self.tables.values()
    }

    /// How many tables there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    /// Whether there is no table.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The number that the next table gets; every number below it was given once.
    #[must_use]
    pub fn next_table(&self) -> TableId {
        TableId(self.next_table)
    }

    /// Whether the table existed and was dropped.
    #[must_use]
    pub fn was_dropped(&self, id: TableId) -> bool {
        id.0 != 0 && id.0 < self.next_table && !self.tables.contains_key(&id)
    }

    /// The schema of a new table with the next number: tags, then fields, numbered from 1.
    #[must_use]
    pub fn plan_table(&self, name: &str, options: &TableOptions) -> TableSchema {
        let mut schema = TableSchema::new(self.next_table(), name);
        schema.time_name.clone_from(&options.time_name);
        (schema.merge, schema.mode) = (options.merge, options.mode);
        schema.history_ns = options.history_ns.unwrap_or(schema.history_ns);
        for tag in &options.tags {
            let tag = TagDef { id: ColumnId(schema.next_column), name: tag.clone() };
            schema.tags.push(tag);
            schema.next_column = schema.next_column.saturating_add(1);
        }
        for (field, field_type) in &options.fields {
            let id = ColumnId(schema.next_column);
            schema.fields.push(FieldDef { id, name: field.clone(), field_type: *field_type });
            schema.next_column = schema.next_column.saturating_add(1);
        }
        schema
    }

    /// The catalog after a change that a user asked for.
    ///
    /// # Errors
    /// As [`Self::apply_system`], and `Invalid` where the change makes, alters or drops a table whose name is reserved.
    pub fn apply(&self, change: &CatalogChange) -> Result<Self> {
        match change {
            CatalogChange::CreateTable(schema) => check::refuse_system_name(&schema.name)?,
            CatalogChange::RenameTable { name, .. } => check::refuse_system_name(name)?,
            _ => {}
        }
        if let Some(schema) = change.table().and_then(|table| self.by_id(table)) {
            check::refuse_system_name(&schema.name)?;
        }
        self.apply_system(change)
    }

    /// The catalog after a change by the engine itself or from the log: reserved table names are allowed.
    ///
    /// # Errors
    /// `Invalid` for a bad name or definition, `TableExists`, `UnknownTable`, `UnknownColumn`, `OverLimit`; `Internal` where
    /// a number is not the next one.
    pub fn apply_system(&self, change: &CatalogChange) -> Result<Self> {
        let mut next = self.clone();
        next.change(change)?;
        Ok(next)
    }

    /// The catalog after several changes, as [`Self::apply_system`] one by one, copied once.
    ///
    /// # Errors
    /// As [`Self::apply_system`]; none of the changes is then applied.
    pub fn apply_system_all<'a>(
        &self,
        changes: impl IntoIterator<Item = &'a CatalogChange>,
    ) -> Result<Self> {
        let mut next = self.clone();
        for change in changes {
            next.change(change)?;
        }
        Ok(next)
    }

    fn change(&mut self, change: &CatalogChange) -> Result<()> {
        match change {
            CatalogChange::CreateTable(schema) => self.create(schema),
            CatalogChange::AddTag { table, tag } => self.alter(*table, |schema| {
                check::next_column(schema, tag.id, &tag.name)?;
                check::under_limit("tags of a table", schema.tags.len() + 1, TAG_COUNT_MAX)?;
                schema.tags.push(tag.clone());
                schema.next_column += 1;
                Ok(())
            }),
            CatalogChange::AddField { table, field } => self.alter(*table, |schema| {
                check::next_column(schema, field.id, &field.name)?;
                check::field_type(field.field_type)?;
                let count = schema.fields.len() + 1;
                check::under_limit("fields of a table", count, FIELD_COUNT_MAX)?;
                schema.fields.push(field.clone());
                schema.next_column += 1;
                Ok(())
            }),
            CatalogChange::DropField { table, column } => self.alter(*table, |schema| {
                let before = schema.fields.len();
                schema.fields.retain(|field| field.id != *column);
                if schema.fields.len() == before { Err(no_column(schema, *column)) } else { Ok(()) }
            }),
            CatalogChange::RenameTable { table, name } => self.rename(*table, name),
            CatalogChange::RenameColumn { table, column, name } => {
                self.alter(*table, |schema| rename_column(schema, *column, name))
            }
            CatalogChange::SetHistory { table, history_ns } => self.alter(*table, |schema| {
                check::history(*history_ns)?;
                schema.history_ns = *history_ns;
                Ok(())
            }),
            CatalogChange::SetMode { table, mode } => self.alter(*table, |schema| {
                schema.mode = *mode;
                Ok(())
            }),
            CatalogChange::DropTable { table } => {
                let schema = self.tables.remove(table).ok_or_else(|| no_table(*table))?;
                Arc::make_mut(&mut self.names).remove(&schema.name);
                Ok(())
            }
        }
    }

    fn create(&mut self, schema: &TableSchema) -> Result<()> {
        check::table(schema)?;
        if self.names.contains_key(&schema.name) {
            return Err(Error::TableExists(schema.name.clone()));
        }
        if schema.id.0 != self.next_table {
            let (found, next) = (schema.id.0, self.next_table);
            return Err(Error::Internal(format!("new table has number {found}, next is {next}")));
        }
        check::under_limit("tables of a database", self.tables.len() + 1, TABLE_COUNT_MAX)?;
        let exhausted = || Error::invalid("every table number was used");
        self.next_table = self.next_table.checked_add(1).ok_or_else(exhausted)?;
        Arc::make_mut(&mut self.names).insert(schema.name.clone(), schema.id);
        self.tables.insert(schema.id, Arc::new(schema.clone()));
        Ok(())
    }

    fn rename(&mut self, table: TableId, name: &str) -> Result<()> {
        check_table_name(name)?;
        if self.names.get(name).is_some_and(|other| *other != table) {
            return Err(Error::TableExists(name.to_owned()));
        }
        let schema = self.tables.get_mut(&table).ok_or_else(|| no_table(table))?;
        let names = Arc::make_mut(&mut self.names);
        names.remove(&schema.name);
        names.insert(name.to_owned(), table);
        name.clone_into(&mut Arc::make_mut(schema).name);
        Ok(())
    }

    /// Changes one table's schema; on an error the table stays as it was.
    fn alter(
        &mut self,
        table: TableId,
        change: impl FnOnce(&mut TableSchema) -> Result<()>,
    ) -> Result<()> {
        let slot = self.tables.get_mut(&table).ok_or_else(|| no_table(table))?;
        let mut schema = TableSchema::clone(slot);
        change(&mut schema)?;
        *slot = Arc::new(schema);
        Ok(())
    }
}

/// The field `name` of `schema`.
///
/// # Errors
/// `UnknownColumn` with the nearest names.
pub fn field<'a>(schema: &'a TableSchema, name: &str) -> Result<&'a FieldDef> {
    schema.field(name).ok_or_else(|| unknown_column(schema, name))
}

/// The position of the tag `name` of `schema`.
///
/// # Errors
/// `UnknownColumn` with the nearest names.
pub fn tag_position(schema: &TableSchema, name: &str) -> Result<usize> {
    schema.tag_position(name).ok_or_else(|| unknown_column(schema, name))
}

/// The error for a column that `schema` lacks, with the nearest names.
#[must_use]
pub fn unknown_column(schema: &TableSchema, name: &str) -> Error {
    let names = schema.column_names();
    Error::UnknownColumn {
        table: schema.name.clone(),
        column: name.to_owned(),
        known: nearest::nearest(name, names.iter().map(String::as_str)),
    }
}

fn rename_column(schema: &mut TableSchema, column: ColumnId, name: &str) -> Result<()> {
    check_column_name(name)?;
    let ids_and_names = || {
        let tags = schema.tags.iter().map(|tag| (tag.id, &tag.name));
        tags.chain(schema.fields.iter().map(|field| (field.id, &field.name)))
    };
    if ids_and_names().any(|(id, known)| known == name && id != column) {
        return Err(check::duplicate(&schema.name, name));
    }
    let tag = schema.tags.iter_mut().find(|tag| tag.id == column).map(|tag| &mut tag.name);
    let field = schema.fields.iter_mut().find(|field| field.id == column);
    match tag.or(field.map(|field| &mut field.name)) {
        Some(slot) => name.clone_into(slot),
        None => return Err(no_column(schema, column)),
    }
    Ok(())
}

fn no_table(id: TableId) -> Error {
    Error::UnknownTable { table: format!("number {}", id.0), known: Vec::new() }
}

fn no_column(schema: &TableSchema, id: ColumnId) -> Error {
    let (table, column) = (schema.name.clone(), format!("number {}", id.0));
    Error::UnknownColumn { table, column, known: Vec::new() }
}

impl CatalogChange {
    /// Adds the tag `name`, last, to `schema`.
    #[must_use]
    pub fn add_tag(schema: &TableSchema, name: &str) -> Self {
        let tag = TagDef { id: ColumnId(schema.next_column), name: name.to_owned() };
        Self::AddTag { table: schema.id, tag }
    }

    /// Adds the field `name` to `schema`.
    #[must_use]
    pub fn add_field(schema: &TableSchema, name: &str, field_type: FieldType) -> Self {
        let field =
            FieldDef { id: ColumnId(schema.next_column), name: name.to_owned(), field_type };
        Self::AddField { table: schema.id, field }
    }
}
