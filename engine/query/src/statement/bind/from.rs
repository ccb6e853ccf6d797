//! FROM: tables, derived tables, functions, joins.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, Join, JoinConstraint, JoinOperator, ObjectName,
    ObjectNamePart, TableAlias, TableFactor, TableFunctionArgs, TableWithJoins,
};

use super::scope::{Columns, Relation, Scope};
use super::{Binder, at_span, refuse, refuse_if};
use crate::convert::SEQUENCE;
use crate::error::{Result, SqlError, SqlErrorKind, Unknown};
use crate::identifier::{self, Found};

impl Binder<'_> {
    pub(super) fn table_with_joins(&mut self, table: &mut TableWithJoins) -> Result<()> {
        let TableWithJoins { relation, joins } = table;
        let first = self.scopes.last().map_or(0, |scope| scope.relations.len());
        self.relation(relation)?;
        joins.iter_mut().try_for_each(|join| self.join(join, first))
    }

    fn relation(&mut self, factor: &mut TableFactor) -> Result<()> {
        let relation = self.factor(factor)?;
        if let (Some(relation), Some(scope)) = (relation, self.scopes.last_mut()) {
            scope.relations.push(relation);
        }
        Ok(())
    }

    /// Walks one relation; none where its own relations are visible as they are: a join in brackets.
    fn factor(&mut self, factor: &mut TableFactor) -> Result<Option<Relation>> {
        unnest(factor);
        match factor {
            TableFactor::Table { .. } => self.named(factor).map(Some),
            TableFactor::Derived { lateral, subquery, alias, sample } => {
                refuse_if(sample.is_some(), SAMPLE, &**subquery)?;
                let columns = self.beside(*lateral, |binder| binder.query(subquery))?;
                aliased(columns, alias.as_mut(), Vec::new()).map(Some)
            }
            TableFactor::NestedJoin { table_with_joins, alias } => {
                if let Some(alias) = alias {
                    let text = "an alias for a join in brackets is not supported: name its tables";
                    return Err(at_span(SqlError::refused(text), alias.name.span));
                }
                self.table_with_joins(table_with_joins)?;
                Ok(None)
            }
            TableFactor::UNNEST {
                alias,
                array_exprs,
                with_offset,
                with_offset_alias,
                with_ordinality,
            } => {
                let place = array_exprs
                    .first()
                    .cloned()
                    .unwrap_or_else(|| Expr::Identifier(Ident::new("")));
                refuse_if(
                    *with_offset || with_offset_alias.is_some() || *with_ordinality,
                    "WITH OFFSET and WITH ORDINALITY are not supported",
                    &place,
                )?;
                array_exprs.iter_mut().try_for_each(|expr| self.expr(expr))?;
                aliased(open(), alias.as_mut(), Vec::new()).map(Some)
            }
            TableFactor::Function { lateral: _, name, args, with_ordinality, alias } => {
                refuse_if(*with_ordinality, "WITH ORDINALITY is not supported", name)?;
                let function = self.table_function(name)?;
                self.table_arguments(args)?;
                aliased(open(), alias.as_mut(), vec![function]).map(Some)
            }
            TableFactor::TableFunction { .. } => {
                refuse("write the function in FROM without TABLE ( )", factor)
            }
            TableFactor::Pivot { .. } => refuse(
                "PIVOT is not supported: write `sum(x) FILTER (WHERE ...)` for each column",
                factor,
            ),
            TableFactor::Unpivot { .. } => {
                refuse("UNPIVOT is not supported: write UNION ALL", factor)
            }
            TableFactor::JsonTable { .. }
            | TableFactor::OpenJsonTable { .. }
            | TableFactor::XmlTable { .. }
            | TableFactor::MatchRecognize { .. }
            | TableFactor::SemanticView { .. } => {
                refuse("this kind of relation is not supported in FROM", factor)
            }
        }
    }

    /// Runs `walk` for a derived table, which sees the relations beside it only where it is LATERAL.
    fn beside<T>(&mut self, lateral: bool, walk: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if lateral {
            return walk(self);
        }
        let own = self.scopes.last_mut().map(std::mem::take);
        let result = walk(self);
        if let (Some(own), Some(scope)) = (own, self.scopes.last_mut()) {
            *scope = own;
        }
        result
    }

    fn named(&mut self, factor: &mut TableFactor) -> Result<Relation> {
        let TableFactor::Table {
            name,
            alias,
            args,
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
        } = factor
        else {
            return Err(SqlError::internal("a relation of another kind"));
        };
        let refused = [
            (
                !with_hints.is_empty() || !index_hints.is_empty(),
                "hints are not supported: leave them out",
            ),
            (
                version.is_some(),
                "FOR SYSTEM_TIME and the like are not supported: choose the snapshot of the session",
            ),
            (*with_ordinality, "WITH ORDINALITY is not supported"),
            (!partitions.is_empty(), "PARTITION is not supported: write a condition on time"),
            (json_path.is_some(), "a path behind a table is not supported"),
            (sample.is_some(), SAMPLE),
        ];
        refused.into_iter().try_for_each(|(present, text)| refuse_if(present, text, &*name))?;
        if let Some(columns) = self.file(name, args, alias)? {
            return aliased(columns, alias.as_mut(), Vec::new());
        }
        if let Some(TableFunctionArgs { args, settings }) = args {
            refuse_if(settings.is_some(), "SETTINGS are not supported", &*name)?;
            let function = self.table_function(name)?;
            self.table_arguments(args)?;
            return aliased(open(), alias.as_mut(), vec![function]);
        }
        let columns = self.table(name)?;
        let idents = name.0.iter().filter_map(ObjectNamePart::as_ident);
        let qualifier = idents.map(|ident| ident.value.clone()).collect();
        aliased(columns, alias.as_mut(), qualifier)
    }

    /// The function in FROM that `name` means; makes it exact.
    fn table_function(&self, name: &mut ObjectName) -> Result<String> {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
            return refuse(format!("{name} is no function"), &*name);
        };
        let lower = ident.value.to_lowercase();
        if !self.known.functions.gives_tables(&lower) {
            let text = format!("unknown function {:?} in FROM", ident.value);
            let kind = SqlErrorKind::Unknown(Unknown::Function);
            let text = super::super::habits::of_function(&lower)
                .map_or(text.clone(), |advice| format!("{text}: write {advice}"));
            return Err(at_span(SqlError::new(kind, text), ident.span));
        }
        // The planner takes the name as it is printed.
        *name = ObjectName::from(vec![Ident::with_span(ident.span, &lower)]);
        Ok(lower)
    }

    fn table_arguments(&mut self, args: &mut [FunctionArg]) -> Result<()> {
        for arg in args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                    self.within(Scope::default(), |binder| binder.expr(expr))?;
                }
                other => return refuse("arguments of functions in FROM are plain values", other),
            }
        }
        Ok(())
    }

    fn join(&mut self, join: &mut Join, first: usize) -> Result<()> {
        let Join { relation, global, join_operator } = join;
        refuse_if(*global, "leave GLOBAL out: there is one database", &*relation)?;
        let before = self.scopes.last().map_or(0, |scope| scope.relations.len());
        self.relation(relation)?;
        let place = &*relation;
        match join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)
            | JoinOperator::LeftSemi(constraint)
            | JoinOperator::RightSemi(constraint)
            | JoinOperator::LeftAnti(constraint)
            | JoinOperator::RightAnti(constraint) => {
                let lateral = matches!(relation, TableFactor::Derived { lateral: true, .. });
                self.constraint(constraint, first, before, lateral, relation)
            }
            JoinOperator::CrossJoin(JoinConstraint::None) => Ok(()),
            JoinOperator::CrossJoin(_) => {
                refuse("CROSS JOIN takes no condition: write JOIN", place)
            }
            JoinOperator::Semi(_) => refuse("write LEFT SEMI JOIN", place),
            JoinOperator::Anti(_) => refuse("write LEFT ANTI JOIN", place),
            JoinOperator::CrossApply | JoinOperator::OuterApply => {
                refuse("write JOIN LATERAL instead of APPLY", place)
            }
            JoinOperator::AsOf { .. } => refuse(
                "ASOF JOIN is not supported yet: take the last row before with `last(value, time)` over the joined range",
                place,
            ),
            JoinOperator::StraightJoin(_) => refuse("write JOIN instead of STRAIGHT_JOIN", place),
            JoinOperator::ArrayJoin
            | JoinOperator::LeftArrayJoin
            | JoinOperator::InnerArrayJoin => {
                refuse("ARRAY JOIN is not supported: write `unnest(column)`", place)
            }
        }
    }

    fn constraint(
        &mut self,
        constraint: &mut JoinConstraint,
        first: usize,
        before: usize,
        lateral: bool,
        place: &TableFactor,
    ) -> Result<()> {
        let sides = |binder: &Self| {
            let relations =
                binder.scopes.last().map(|scope| scope.relations.clone()).unwrap_or_default();
            let left: Vec<Relation> = relations.get(first..before).unwrap_or_default().to_vec();
            let right: Vec<Relation> = relations.get(before..).unwrap_or_default().to_vec();
            (all(&left), all(&right))
        };
        match constraint {
            JoinConstraint::On(expr) => self.expr(expr),
            JoinConstraint::Using(names) => {
                let (left, right) = sides(self);
                names.iter_mut().try_for_each(|name| using(name, &left, &right))
            }
            JoinConstraint::Natural => {
                let (left, right) = sides(self);
                let common = left
                    .names
                    .iter()
                    .filter(|name| right.names.contains(name) && *name != SEQUENCE);
                let common: Vec<ObjectName> = common
                    .map(|name| ObjectName::from(vec![Ident::with_quote('"', name)]))
                    .collect();
                refuse_if(
                    left.open || right.open || common.is_empty(),
                    "NATURAL JOIN finds no common columns here: write USING (...) or ON",
                    place,
                )?;
                *constraint = JoinConstraint::Using(common);
                Ok(())
            }
            JoinConstraint::None if lateral => Ok(()),
            JoinConstraint::None => {
                refuse("JOIN needs a condition: write ON, USING (...), or CROSS JOIN", place)
            }
        }
    }
}

const SAMPLE: &str = "TABLESAMPLE and SAMPLE are not supported: every row is read (`WHERE random() < 0.01` takes about one in a hundred)";

/// `unnest(...)` parses as any other function in FROM; the planner has a relation of its own for it.
fn unnest(factor: &mut TableFactor) {
    let TableFactor::Table {
        name,
        alias,
        args: Some(TableFunctionArgs { args, settings: None }),
        ..
    } = factor
    else {
        return;
    };
    let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return };
    let plain = args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    let Some(array_exprs) = plain.collect::<Option<Vec<Expr>>>() else { return };
    if ident.value.eq_ignore_ascii_case("unnest") {
        *factor = TableFactor::UNNEST {
            alias: alias.take(),
            array_exprs,
            with_offset: false,
            with_offset_alias: None,
            with_ordinality: false,
        };
    }
}

fn open() -> Columns {
    Columns { open: true, ..Columns::default() }
}

fn all(relations: &[Relation]) -> Columns {
    let mut columns = Columns::default();
    for relation in relations {
        columns.open |= relation.columns.open;
        columns.names.extend(relation.columns.names.iter().cloned());
    }
    columns
}

/// A column of USING must be spelled the same on both sides: the planner knows it by one name.
fn using(name: &mut ObjectName, left: &Columns, right: &Columns) -> Result<()> {
    let place = name.clone();
    let [ObjectNamePart::Identifier(ident)] = name.0.as_mut_slice() else {
        return refuse("USING takes plain columns", &place);
    };
    if left.open || right.open {
        ident.quote_style = Some('"');
        return Ok(());
    }
    let side = |columns: &Columns| match identifier::find(
        &ident.value,
        columns.names.iter().map(String::as_str),
    ) {
        Found::One(found) => Ok(found),
        Found::Several(names) => Err(super::ambiguous("column", ident, &names)),
        Found::None => {
            let names = columns.names.iter().map(String::as_str);
            Err(super::unknown(Unknown::Column, "column", ident, names))
        }
    };
    let (left, right) = (side(left)?, side(right)?);
    if left != right {
        return refuse(
            format!(
                "the column is {left:?} on one side and {right:?} on the other: write ON instead of USING"
            ),
            &place,
        );
    }
    identifier::set(ident, &left);
    Ok(())
}

/// The relation as it is seen under its alias.
fn aliased(
    mut columns: Columns,
    alias: Option<&mut TableAlias>,
    qualifier: Vec<String>,
) -> Result<Relation> {
    let Some(alias) = alias else { return Ok(Relation { qualifier, columns }) };
    rename(&mut columns, alias)?;
    alias.name.quote_style = Some('"');
    Ok(Relation { qualifier: vec![alias.name.value.clone()], columns })
}

/// Gives the first columns the names of an alias such as `t (a, b)`.
pub(super) fn rename(columns: &mut Columns, alias: &mut TableAlias) -> Result<()> {
    let TableAlias { explicit: _, name, columns: renamed, at } = alias;
    if at.is_some() || renamed.iter().any(|column| column.data_type.is_some()) {
        return Err(at_span(
            SqlError::refused("types and AT in an alias are not supported"),
            name.span,
        ));
    }
    for (place, column) in renamed.iter_mut().enumerate() {
        column.name.quote_style = Some('"');
        match columns.names.get_mut(place) {
            Some(slot) => slot.clone_from(&column.name.value),
            None => columns.names.push(column.name.value.clone()),
        }
    }
    Ok(())
}
