//! Expressions.

use datafusion::sql::sqlparser::ast::{
    AccessExpr, CaseWhen, CastKind, CeilFloorKind, DateTimeField, DictionaryField, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArgumentList, FunctionArguments,
    Ident, Interval, Map, MapEntry, ObjectNamePart, Subscript, TypedString, Value, ValueWithSpan,
    WindowFrame, WindowFrameBound, WindowSpec, WindowType,
};

use super::{Binder, FunctionKind, at_span, refuse, refuse_if};
use crate::error::{Result, SqlError, SqlErrorKind, Unknown};
use crate::identifier;
use crate::statement::habits;

/// Functions that tell NULLs apart when they are asked to.
const NULL_TREATMENT: &[&str] =
    &["first_value", "last_value", "nth_value", "lag", "lead", "array_agg"];

impl Binder<'_> {
    /// Walks an expression of GROUP BY, where sets of expressions may stand too.
    pub(super) fn grouping(&mut self, expr: &mut Expr) -> Result<()> {
        match expr {
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                sets.iter_mut().flatten().try_for_each(|expr| self.expr(expr))
            }
            other => self.expr(other),
        }
    }

    fn exprs<'a>(&mut self, exprs: impl IntoIterator<Item = &'a mut Expr>) -> Result<()> {
        exprs.into_iter().try_for_each(|expr| self.expr(expr))
    }

    /// Walks an expression.
    pub(super) fn expr(&mut self, expr: &mut Expr) -> Result<()> {
        match expr {
            Expr::Identifier(ident) => self.column(ident),
            Expr::CompoundIdentifier(parts) => self.compound(parts),
            Expr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner)
            | Expr::Nested(inner) => self.expr(inner),
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                self.exprs([left.as_mut(), right.as_mut()])
            }
            Expr::InList { expr, list, negated: _ } => {
                self.expr(expr)?;
                self.exprs(list)
            }
            Expr::InSubquery { expr, subquery, negated: _ } => {
                self.expr(expr)?;
                self.query(subquery).map(|_| ())
            }
            Expr::Between { expr, negated: _, low, high } => {
                self.exprs([expr.as_mut(), low.as_mut(), high.as_mut()])
            }
            Expr::BinaryOp { .. } => self.binary(expr),
            Expr::Like { negated: _, any, expr, pattern, escape_char: _ }
            | Expr::ILike { negated: _, any, expr, pattern, escape_char: _ } => {
                refuse_if(*any, "LIKE ANY is not supported: write OR", &**expr)?;
                self.exprs([expr.as_mut(), pattern.as_mut()])
            }
            Expr::AnyOp { left, compare_op: _, right, is_some: _ }
            | Expr::AllOp { left, compare_op: _, right } => {
                self.exprs([left.as_mut(), right.as_mut()])
            }
            Expr::UnaryOp { op: _, expr } => self.expr(expr),
            Expr::Cast { kind, expr: inner, data_type: _, array, format } => {
                match kind {
                    CastKind::Cast
                    | CastKind::DoubleColon
                    | CastKind::TryCast
                    | CastKind::SafeCast => {}
                }
                refuse_if(*array, "CAST ... AS ... ARRAY is not supported", &**inner)?;
                refuse_if(
                    format.is_some(),
                    "CAST with FORMAT is not supported: write to_timestamp or to_char",
                    &**inner,
                )?;
                self.expr(inner)
            }
            Expr::AtTimeZone { timestamp, time_zone } => {
                self.exprs([timestamp.as_mut(), time_zone.as_mut()])
            }
            Expr::Extract { field: _, syntax: _, expr } => self.expr(expr),
            Expr::Ceil { expr, field } | Expr::Floor { expr, field } => {
                let plain =
                    matches!(field, CeilFloorKind::DateTimeField(DateTimeField::NoDateTime));
                refuse_if(!plain, "write date_trunc for times, and round for digits", &**expr)?;
                self.expr(expr)
            }
            Expr::Position { expr, r#in } => self.exprs([expr.as_mut(), r#in.as_mut()]),
            Expr::Substring { expr, substring_from, substring_for, special: _, shorthand: _ } => {
                self.expr(expr)?;
                self.exprs([substring_from, substring_for].into_iter().flatten().map(AsMut::as_mut))
            }
            Expr::Trim { trim_where: _, trim_what, expr, trim_characters } => {
                self.expr(expr)?;
                self.exprs(trim_what.as_mut().map(AsMut::as_mut))?;
                self.exprs(trim_characters.iter_mut().flatten())
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.exprs([expr.as_mut(), overlay_what.as_mut(), overlay_from.as_mut()])?;
                self.exprs(overlay_for.as_mut().map(AsMut::as_mut))
            }
            Expr::Value(value) => check_value(value),
            Expr::TypedString(TypedString { data_type: _, value, uses_odbc_syntax: _ }) => {
                check_value(value)
            }
            Expr::Function(function) => self.function(function),
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.exprs(operand.as_mut().map(AsMut::as_mut))?;
                for CaseWhen { condition, result } in conditions {
                    self.exprs([condition, result])?;
                }
                self.exprs(else_result.as_mut().map(AsMut::as_mut))
            }
            Expr::Exists { subquery, negated: _ } => self.query(subquery).map(|_| ()),
            Expr::Subquery(subquery) => self.query(subquery).map(|_| ()),
            Expr::Tuple(values) => self.exprs(values),
            Expr::Dictionary(fields) => self
                .exprs(fields.iter_mut().map(|DictionaryField { key: _, value }| value.as_mut())),
            Expr::Map(Map { entries }) => entries
                .iter_mut()
                .try_for_each(|MapEntry { key, value }| self.exprs([key.as_mut(), value.as_mut()])),
            Expr::Array(array) => self.exprs(&mut array.elem),
            Expr::Interval(interval) => self.interval(interval),
            Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => {
                refuse("GROUPING SETS, CUBE and ROLLUP belong into GROUP BY", expr)
            }
            Expr::SimilarTo { .. } => refuse(
                "SIMILAR TO is not supported: write `x ~ 'regular expression'` or LIKE",
                expr,
            ),
            Expr::RLike { .. } => refuse("write `x ~ 'regular expression'`", expr),
            Expr::Convert { .. } => refuse("write CAST(x AS type) instead of CONVERT", expr),
            Expr::Collate { .. } => {
                refuse("COLLATE is not supported: text is ordered by its bytes", expr)
            }
            Expr::JsonAccess { .. } => refuse("paths into JSON are not supported", expr),
            Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => {
                refuse("an asterisk cannot stand here", expr)
            }
            Expr::InUnnest { .. } => refuse("write `x = ANY(array)` instead of IN UNNEST", expr),
            Expr::Lambda(_) => refuse("lambda functions are not supported", expr),
            Expr::IsNormalized { .. }
            | Expr::Prefixed { .. }
            | Expr::Struct { .. }
            | Expr::Named { .. }
            | Expr::MatchAgainst { .. }
            | Expr::OuterJoin(_)
            | Expr::Prior(_)
            | Expr::MemberOf(_) => refuse(format!("`{expr}` is not supported"), expr),
        }
    }

    /// A chain of operators leans to the left as deep as it is long: walked without recursion along it.
    fn binary(&mut self, expr: &mut Expr) -> Result<()> {
        let mut next = expr;
        loop {
            match next {
                Expr::BinaryOp { left, op: _, right } => {
                    self.expr(right)?;
                    next = left;
                }
                other => return self.expr(other),
            }
        }
    }

    /// `a.b[1].c`: the names in front mean a column, as far as they do.
    fn access(&mut self, root: &mut Expr, chain: &mut [AccessExpr]) -> Result<()> {
        if let Expr::Identifier(first) = root {
            let mut parts = vec![first.clone()];
            let dots = chain.iter().map_while(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some(ident.clone()),
                _ => None,
            });
            parts.extend(dots);
            self.compound(&mut parts)?;
            let mut parts = parts.into_iter();
            if let Some(part) = parts.next() {
                *first = part;
            }
            for (access, part) in chain.iter_mut().zip(parts) {
                *access = AccessExpr::Dot(Expr::Identifier(part));
            }
        } else {
            self.expr(root)?;
        }
        for access in chain {
            match access {
                AccessExpr::Dot(Expr::Identifier(_) | Expr::Value(_)) => {}
                AccessExpr::Dot(other) => return refuse("a field's name is expected", other),
                AccessExpr::Subscript(Subscript::Index { index }) => self.expr(index)?,
                AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride }) => {
                    self.exprs([lower_bound, upper_bound, stride].into_iter().flatten())?;
                }
            }
        }
        Ok(())
    }

    fn interval(&mut self, interval: &mut Interval) -> Result<()> {
        let Interval {
            value,
            leading_field: _,
            leading_precision,
            last_field,
            fractional_seconds_precision,
        } = interval;
        refuse_if(
            leading_precision.is_some()
                || last_field.is_some()
                || fractional_seconds_precision.is_some(),
            "write INTERVAL '1 hour 30 minutes'",
            &**value,
        )?;
        self.expr(value)
    }

    fn function(&mut self, function: &mut Function) -> Result<()> {
        let Function {
            name,
            uses_odbc_syntax,
            parameters,
            args,
            filter,
            null_treatment,
            over,
            within_group,
        } = function;
        let place = name.clone();
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else {
            return refuse(format!("unknown function {name}"), &place);
        };
        refuse_if(
            *uses_odbc_syntax || !matches!(parameters, FunctionArguments::None),
            "write the function as `name(arguments)`",
            &place,
        )?;
        let lower = ident.value.to_lowercase();
        let kind = self.known.functions.kind(&lower);
        if kind.is_none()
            && let Some(advice) = habits::of_function(&lower)
        {
            let text = format!("unknown function {:?}: write {advice}", ident.value);
            return Err(at_span(
                SqlError::new(SqlErrorKind::Unknown(Unknown::Function), text),
                ident.span,
            ));
        }
        let mut order_by = false;
        let mut nulls = null_treatment.is_some();
        let mut distinct = false;
        match args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(_) => {
                return refuse(
                    format!("{lower} takes a query only in another pair of brackets"),
                    &place,
                );
            }
            FunctionArguments::List(list) => {
                let FunctionArgumentList { duplicate_treatment, args, clauses } = list;
                distinct = duplicate_treatment.is_some();
                args.iter_mut().try_for_each(|arg| self.argument(arg))?;
                for clause in clauses {
                    match clause {
                        FunctionArgumentClause::OrderBy(exprs) => {
                            order_by = true;
                            self.sort(exprs)?;
                        }
                        FunctionArgumentClause::IgnoreOrRespectNulls(_) => nulls = true,
                        other => {
                            return refuse(
                                format!("`{other}` inside a function's arguments is not supported"),
                                &place,
                            );
                        }
                    }
                }
            }
        }
        let scalar = !matches!(kind, Some(FunctionKind::Aggregate | FunctionKind::Window));
        let window = kind == Some(FunctionKind::Window);
        let refused = [
            (scalar && over.is_some(), "it is no window function: OVER has no effect on it"),
            (
                kind != Some(FunctionKind::Aggregate) && filter.is_some(),
                "it is no aggregate: FILTER has no effect on it",
            ),
            (
                (scalar || window) && distinct,
                "it is no aggregate: DISTINCT and ALL have no effect on it",
            ),
            (
                (scalar || window) && order_by,
                "it is no aggregate: ORDER BY in its arguments has no effect",
            ),
            (
                (scalar || over.is_some()) && !within_group.is_empty(),
                "WITHIN GROUP has no effect here",
            ),
            (
                nulls && !NULL_TREATMENT.contains(&lower.as_str()),
                "IGNORE NULLS and RESPECT NULLS have no effect on it",
            ),
            (window && over.is_none(), "it is a window function: write OVER (...)"),
        ];
        refused
            .into_iter()
            .filter(|(present, _)| *present)
            .try_for_each(|(_, text)| refuse(format!("{lower}: {text}"), &place))?;
        self.exprs(filter.as_mut().map(AsMut::as_mut))?;
        self.sort(within_group)?;
        match over {
            None => Ok(()),
            Some(WindowType::WindowSpec(spec)) => self.window_spec(spec),
            Some(WindowType::NamedWindow(name)) => self.named_window(name),
        }
    }

    fn argument(&mut self, arg: &mut FunctionArg) -> Result<()> {
        let arg = match arg {
            FunctionArg::Named { name: _, arg, operator: _ } | FunctionArg::Unnamed(arg) => arg,
            FunctionArg::ExprNamed { .. } => {
                return refuse("the name of an argument is a plain word", arg);
            }
        };
        match arg {
            FunctionArgExpr::Expr(expr) => self.expr(expr),
            FunctionArgExpr::Wildcard => Ok(()),
            FunctionArgExpr::QualifiedWildcard(name) => {
                let mut parts: Vec<Ident> =
                    name.0.iter().filter_map(ObjectNamePart::as_ident).cloned().collect();
                self.qualifier(&mut parts)?;
                *name = parts.into();
                Ok(())
            }
            FunctionArgExpr::WildcardWithOptions(_) => {
                Err(SqlError::refused("an asterisk with options cannot be an argument"))
            }
        }
    }

    fn named_window(&self, name: &mut Ident) -> Result<()> {
        let names = self.windows.last().map(Vec::as_slice).unwrap_or_default();
        match identifier::find(&name.value, names.iter().map(String::as_str)) {
            identifier::Found::One(found) => {
                identifier::set(name, &found);
                Ok(())
            }
            _ => Err(at_span(
                SqlError::refused(format!(
                    "no window {:?} can be used here: named windows serve the list of SELECT; elsewhere write the window out",
                    name.value
                )),
                name.span,
            )),
        }
    }

    pub(super) fn window_spec(&mut self, spec: &mut WindowSpec) -> Result<()> {
        let WindowSpec { window_name, partition_by, order_by, window_frame } = spec;
        if let Some(name) = window_name {
            let text = "a window that builds on a named window is not supported: write it out";
            return Err(at_span(SqlError::refused(text), name.span));
        }
        self.exprs(partition_by)?;
        self.sort(order_by)?;
        let Some(WindowFrame { units: _, start_bound, end_bound }) = window_frame else {
            return Ok(());
        };
        for bound in std::iter::once(start_bound).chain(end_bound) {
            match bound {
                WindowFrameBound::CurrentRow => {}
                WindowFrameBound::Preceding(expr) | WindowFrameBound::Following(expr) => {
                    self.exprs(expr.as_mut().map(AsMut::as_mut))?;
                }
            }
        }
        Ok(())
    }
}

fn check_value(value: &ValueWithSpan) -> Result<()> {
    let text = match &value.value {
        Value::Number(_, false)
        | Value::SingleQuotedString(_)
        | Value::EscapedStringLiteral(_)
        | Value::DollarQuotedString(_)
        | Value::HexStringLiteral(_)
        | Value::Boolean(_)
        | Value::Null => return Ok(()),
        Value::Placeholder(_) => {
            "parameters are not supported: write the values into the statement"
        }
        _ => "this kind of literal is not supported",
    };
    Err(at_span(SqlError::refused(text), value.span))
}
