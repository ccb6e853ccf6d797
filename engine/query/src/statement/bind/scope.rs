//! What a name may mean at one place of a query: the columns of the relations in FROM, and the names that SELECT gives.

use datafusion::sql::sqlparser::ast::Ident;

use super::{Binder, ambiguous, at_span, unknown};
use crate::convert::SEQUENCE;
use crate::error::{Result, SqlError, SqlErrorKind, Unknown};
use crate::identifier::{self, Found};

/// Column names of a relation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    /// The names, in order.
    pub names: Vec<String>,
    /// Whether there may be others, whose names only the planner knows: expressions without an alias, functions in FROM.
    pub open: bool,
    /// What the table's time was called where its rows came from; empty where that is not known.
    pub time_name: String,
}

impl Columns {
    /// These columns, and no others.
    pub(super) fn closed(names: Vec<String>) -> Self {
        Self { names, ..Self::default() }
    }

    /// Whether `typed`, which fits `found` but for case, is exactly what the time was called at its origin: nobody can tell which is meant.
    fn also_time(&self, typed: &str, found: &str) -> bool {
        found != typed && self.time_name == typed
    }
}

/// A relation of FROM.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    /// How its columns may be qualified: alias, or table, or schema and table.
    pub qualifier: Vec<String>,
    pub columns: Columns,
}

/// One SELECT.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub relations: Vec<Relation>,
    /// The names that SELECT gives, once they are known.
    pub aliases: Columns,
    /// Whether these win over columns of relations: so in ORDER BY and DISTINCT ON.
    pub aliases_first: bool,
}

/// What was found in one scope.
enum Search {
    Found(String),
    Ambiguous(Vec<String>),
    /// This one, or the time, which had this very name at its origin.
    OrTime(String),
    /// Not among what is known, but there may be more.
    Open,
    Nothing,
}

impl Scope {
    fn column(&self, typed: &str) -> Search {
        let relations = || self.relations.iter().flat_map(|one| &one.columns.names);
        let columns: Vec<&str> = relations().map(String::as_str).collect();
        let aliases: Vec<&str> = self.aliases.names.iter().map(String::as_str).collect();
        let order = if self.aliases_first { [&aliases, &columns] } else { [&columns, &aliases] };
        // An exact name anywhere here wins over one that differs in case.
        if order.iter().any(|names| names.contains(&typed)) {
            return Search::Found(typed.to_owned());
        }
        for names in order {
            match identifier::find(typed, names.iter().copied()) {
                Found::One(found)
                    if self.relations.iter().any(|one| one.columns.also_time(typed, &found)) =>
                {
                    return Search::OrTime(found);
                }
                Found::One(found) => return Search::Found(found),
                Found::Several(names) => return Search::Ambiguous(names),
                Found::None => {}
            }
        }
        let open = self.aliases.open || self.relations.iter().any(|one| one.columns.open);
        if open { Search::Open } else { Search::Nothing }
    }

    /// The relation that the first of `parts` qualify, and how many of them do.
    fn relation(&self, parts: &[Ident]) -> Option<(&Relation, usize)> {
        let same = |exact: bool| {
            self.relations.iter().find_map(|one| {
                // `system.tables` may be called `tables` too.
                (0..one.qualifier.len()).find_map(|from| {
                    let qualifier = one.qualifier.get(from..)?;
                    let fits = qualifier.len() <= parts.len()
                        && qualifier.iter().zip(parts).all(|(name, part)| {
                            *name == part.value
                                || !exact && name.to_lowercase() == part.value.to_lowercase()
                        });
                    fits.then_some((one, qualifier.len()))
                })
            })
        };
        same(true).or_else(|| same(false))
    }
}

/// The error for a name that is a column's but for case, and exactly the time's at its origin.
fn or_time(ident: &Ident, found: &str) -> SqlError {
    let text = format!(
        "column {:?} may be {found:?}, or \"time\", which was called {0:?} where the rows came from: write the one that is meant",
        ident.value
    );
    at_span(SqlError::new(SqlErrorKind::Ambiguous, text), ident.span)
}

impl Binder<'_> {
    /// Makes a column's name exact: the innermost query in which it means something wins.
    pub(super) fn column(&self, ident: &mut Ident) -> Result<()> {
        for scope in self.scopes.iter().rev() {
            match scope.column(&ident.value) {
                Search::Found(name) => {
                    identifier::set(ident, &name);
                    return Ok(());
                }
                Search::Ambiguous(names) => return Err(ambiguous("column", ident, &names)),
                Search::OrTime(name) => return Err(or_time(ident, &name)),
                Search::Open => {
                    ident.quote_style = Some('"');
                    return Ok(());
                }
                Search::Nothing => {}
            }
        }
        Err(self.unknown_column(ident))
    }

    pub(super) fn unknown_column(&self, ident: &Ident) -> SqlError {
        let scopes = self.scopes.iter().rev();
        let names = scopes.flat_map(|scope| {
            let relations = scope.relations.iter().flat_map(|one| &one.columns.names);
            relations.chain(&scope.aliases.names).map(String::as_str)
        });
        let names = names.filter(|name| *name != SEQUENCE);
        unknown(Unknown::Column, "column", ident, names)
    }

    /// Makes `t.c`, `s.t.c` or `c.field` exact. Parts behind the column are fields of its value and stay as they are.
    pub(super) fn compound(&self, parts: &mut [Ident]) -> Result<()> {
        // Fields of values keep their case too.
        parts.iter_mut().for_each(|part| part.quote_style = Some('"'));
        for scope in self.scopes.iter().rev() {
            let Some((relation, count)) = scope.relation(parts) else { continue };
            // `c.field` where a column is named as a relation: the relation wins, as it does in the planner.
            let (qualifier, rest) = parts.split_at_mut(count);
            let Some(column) = rest.first_mut() else { continue };
            let from = relation.qualifier.len().saturating_sub(count);
            for (part, name) in qualifier.iter_mut().zip(relation.qualifier.iter().skip(from)) {
                identifier::set(part, name);
            }
            let names = || relation.columns.names.iter().map(String::as_str);
            return match identifier::find(&column.value, names()) {
                Found::One(found) if relation.columns.also_time(&column.value, &found) => {
                    Err(or_time(column, &found))
                }
                Found::One(found) => {
                    identifier::set(column, &found);
                    Ok(())
                }
                Found::Several(names) => Err(ambiguous("column", column, &names)),
                Found::None if relation.columns.open => {
                    column.quote_style = Some('"');
                    Ok(())
                }
                Found::None => {
                    let what = format!("column {}.", relation.qualifier.join("."));
                    Err(unknown(Unknown::Column, &what, column, names()))
                }
            };
        }
        let Some(first) = parts.first_mut() else { return Ok(()) };
        let relations = || {
            let scopes = self.scopes.iter();
            scopes.flat_map(|scope| &scope.relations).filter_map(|one| one.qualifier.last())
        };
        self.column(first).map_err(|error| match error.kind {
            SqlErrorKind::Unknown(_) => {
                unknown(Unknown::Table, "table or alias", first, relations().map(String::as_str))
            }
            _ => error,
        })
    }

    /// The relation of the innermost SELECT that `t` of `t.*` means; makes `parts` exact.
    pub(super) fn qualifier(&self, parts: &mut [Ident]) -> Result<Columns> {
        let found = self.scopes.last().and_then(|scope| scope.relation(parts));
        if let Some((relation, count)) = found
            && count == parts.len()
        {
            let from = relation.qualifier.len().saturating_sub(count);
            for (part, name) in parts.iter_mut().zip(relation.qualifier.iter().skip(from)) {
                identifier::set(part, name);
            }
            return Ok(relation.columns.clone());
        }
        let names = self.scopes.last().into_iter().flat_map(|scope| &scope.relations);
        let names = names.filter_map(|one| one.qualifier.last()).map(String::as_str);
        match parts.first() {
            Some(first) => Err(unknown(Unknown::Table, "table or alias", first, names)),
            None => Err(crate::error::SqlError::internal("an empty qualifier")),
        }
    }
}
