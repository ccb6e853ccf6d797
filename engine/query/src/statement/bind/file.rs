//! Files in FROM: `read_csv('x.csv', delim => ';')`, `read_parquet('x.parquet')`, `'x.csv'`. They are opened here, so that their columns have
//! names, and become tables for the planner.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart,
    Statement, TableAlias, TableFactor, TableFunctionArgs, UnaryOperator, Value, ValueWithSpan,
    VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::scope::Columns;
use super::{Binder, at, at_span, refuse, refuse_if};
use crate::error::{Result, SqlError};
use crate::files::{FILES, Function, OptionValue};
use crate::identifier;

impl Binder<'_> {
    /// Where files are named, puts their table in place of the name; gives its columns.
    pub(super) fn file(
        &self,
        name: &mut ObjectName,
        args: &mut Option<TableFunctionArgs>,
        alias: &mut Option<TableAlias>,
    ) -> Result<Option<Columns>> {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return Ok(None) };
        let place = ident.clone();
        let (function, call, called) = match args.as_ref() {
            Some(TableFunctionArgs { args, settings }) => {
                let lower = ident.value.to_lowercase();
                let Some(function) = Function::named(&lower) else { return Ok(None) };
                refuse_if(settings.is_some(), "SETTINGS are not supported", &*name)?;
                (function, Call::of(function, args, &place)?, lower)
            }
            None if ident.quote_style == Some('\'') => {
                let Some(function) = Function::of_path(&ident.value) else { return Ok(None) };
                let path = ident.value.clone();
                let called = stem(&path);
                (function, Call { path, options: Vec::new() }, called)
            }
            None => return Ok(None),
        };
        let opened = self.known.files.open(function, &call.path, &call.options);
        let (table, columns) = opened.map_err(|error| at_span(error, place.span))?;
        let part = |name: &str| {
            let mut ident = Ident::with_span(place.span, name);
            identifier::set(&mut ident, name);
            ident
        };
        *name = ObjectName::from(vec![part(FILES), part(&table)]);
        *args = None;
        alias.get_or_insert_with(|| TableAlias {
            explicit: false,
            name: part(&called),
            columns: Vec::new(),
            at: None,
        });
        Ok(Some(Columns::closed(columns)))
    }
}

/// Gives file names that stand in place of tables their places in the text, which the parser does not keep for texts.
pub(crate) fn locate(statement: &mut Statement, tokens: &[TokenWithSpan]) {
    struct Locator<'a>(&'a [TokenWithSpan]);
    impl VisitorMut for Locator<'_> {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, .. } = factor
                && let [ObjectNamePart::Identifier(ident)] = name.0.as_mut_slice()
                && ident.quote_style == Some('\'')
            {
                let is_it = |token: &Token| matches!(token, Token::SingleQuotedString(text) if *text == ident.value);
                if let Some(found) = self.0.iter().find(|one| is_it(&one.token)) {
                    ident.span = found.span;
                }
            }
            ControlFlow::Continue(())
        }
    }
    // It never breaks off.
    let _ = statement.visit(&mut Locator(tokens));
}

/// What a relation of files is called without an alias: the file's name up to its first point.
fn stem(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split('.').next().unwrap_or(name).to_owned()
}

/// The arguments of a function that reads files.
struct Call {
    path: String,
    options: Vec<(String, OptionValue)>,
}

impl Call {
    fn of(function: Function, args: &[FunctionArg], place: &Ident) -> Result<Self> {
        let name = function.name();
        let mut args = args.iter();
        let path = match args.next() {
            Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))) => text(expr),
            _ => None,
        };
        let Some(path) = path else {
            let wanted =
                format!("{name} takes a path in quotes first, such as {name}('data/*.csv')");
            return Err(at_span(SqlError::refused(wanted), place.span));
        };
        let mut options: Vec<(String, OptionValue)> = Vec::new();
        for arg in args {
            let Some((option, found)) = option(arg) else {
                return refuse(
                    format!(
                        "options of {name} are `name => value`, the value a text, a number, true or false"
                    ),
                    arg,
                );
            };
            let is_repeated = options.iter().any(|(one, _)| one.eq_ignore_ascii_case(&option));
            if is_repeated && !["nullstr", "null"].contains(&option.to_lowercase().as_str()) {
                return Err(at(SqlError::invalid(format!("option {option} is given twice")), arg));
            }
            options.push((option, found));
        }
        Ok(Self { path, options })
    }
}

/// `name => value`, `name := value`, `name = value`.
fn option(arg: &FunctionArg) -> Option<(String, OptionValue)> {
    let (name, expr) = match arg {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expr), operator: _ } => (name, expr),
        FunctionArg::ExprNamed {
            name: Expr::Identifier(name),
            arg: FunctionArgExpr::Expr(expr),
            operator: _,
        } => (name, expr),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        })) => match left.as_ref() {
            Expr::Identifier(name) => (name, right.as_ref()),
            _ => return None,
        },
        _ => return None,
    };
    Some((name.value.clone(), value(expr)?))
}

fn value(expr: &Expr) -> Option<OptionValue> {
    let number = |expr: &Expr| match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(text, _), .. }) => text.parse().ok(),
        _ => None,
    };
    match expr {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            number(expr).map(|found: i64| OptionValue::Number(-found))
        }
        Expr::Value(ValueWithSpan { value: Value::Boolean(truth), .. }) => {
            Some(OptionValue::Truth(*truth))
        }
        other => {
            text(other).map(OptionValue::Text).or_else(|| number(other).map(OptionValue::Number))
        }
    }
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text),
            ..
        }) => Some(text.clone()),
        _ => None,
    }
}
