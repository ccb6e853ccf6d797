//! The column `_seq`: a statement that names it sees it, and `*` never shows it. So a table has it only in statements that name it, where
//! every `*` over a table becomes `* EXCEPT (_seq)`.

use std::ops::ControlFlow;

use chronolith_engine::snapshot::Snapshot;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    ExceptSelectItem, Expr, Ident, ObjectName, Select, SelectItem, SelectItemQualifiedWildcardKind,
    TableFactor, Visit, VisitMut, Visitor, VisitorMut, WildcardAdditionalOptions,
};

use crate::convert::SEQUENCE;
use crate::error::{Result, SqlError};

/// Whether the statement names `_seq`.
pub(crate) fn is_named(statement: &Statement) -> bool {
    struct Finder;
    impl Visitor for Finder {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let name = match expr {
                Expr::Identifier(name) => Some(name),
                Expr::CompoundIdentifier(names) => names.last(),
                _ => None,
            };
            match name {
                Some(name) if name.value == SEQUENCE => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match statement {
        Statement::Statement(statement) => statement.visit(&mut Finder).is_break(),
        Statement::Explain(explain) => is_named(&explain.statement),
        _ => false,
    }
}

/// The statement with `_seq` left out of its wildcards.
///
/// # Errors
/// `Invalid` for a `*` over several tables, which would show it.
pub(crate) fn hide_in_wildcards(
    mut statement: Statement,
    snapshot: &Snapshot,
) -> Result<Statement> {
    hide(&mut statement, snapshot)?;
    Ok(statement)
}

fn hide(statement: &mut Statement, snapshot: &Snapshot) -> Result<()> {
    match statement {
        Statement::Statement(statement) => match statement.visit(&mut Hider(snapshot)) {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(()),
        },
        Statement::Explain(explain) => hide(&mut explain.statement, snapshot),
        _ => Ok(()),
    }
}

struct Hider<'a>(&'a Snapshot);

impl VisitorMut for Hider<'_> {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        let tables = self.tables(select);
        for item in &mut select.projection {
            match item {
                SelectItem::Wildcard(options) => match tables.as_slice() {
                    [] => {}
                    [_] => except(options),
                    _ => {
                        return ControlFlow::Break(SqlError::invalid(format!(
                            "a statement that names {SEQUENCE} cannot have * over several tables: name the columns"
                        )));
                    }
                },
                SelectItem::QualifiedWildcard(kind, options) => {
                    if let SelectItemQualifiedWildcardKind::ObjectName(name) = kind
                        && last(name).is_some_and(|name| tables.contains(&name.value))
                    {
                        except(options);
                    }
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
}

impl Hider<'_> {
    /// The names under which the engine's tables stand in the `FROM` of `select`.
    fn tables(&self, select: &Select) -> Vec<String> {
        let joined = select.from.iter().flat_map(|from| {
            let joins = from.joins.iter().map(|join| &join.relation);
            std::iter::once(&from.relation).chain(joins)
        });
        let named = joined.filter_map(|factor| match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let table = last(name)?;
                self.0.table(&table.value).is_ok().then(|| match alias {
                    Some(alias) => alias.name.value.clone(),
                    None => table.value.clone(),
                })
            }
            _ => None,
        });
        named.collect()
    }
}

fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(|part| part.as_ident())
}

fn except(options: &mut WildcardAdditionalOptions) {
    let hidden = Ident::new(SEQUENCE);
    match (&options.opt_exclude, &mut options.opt_except) {
        (Some(_), _) => {}
        (None, Some(except)) if except.first_element == hidden => {}
        (None, Some(except)) => except.additional_elements.push(hidden),
        (None, None) => {
            options.opt_except =
                Some(ExceptSelectItem { first_element: hidden, additional_elements: Vec::new() });
        }
    }
}
