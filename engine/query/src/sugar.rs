//! What users may leave out: `first(x)`, `last(x)` and `ohlc(x)` mean by `time`, of the same table where `x` names one. And the fields of a
//! struct by a point, `(ohlc(price, time)).open`, which the planner knows as `['open']` only.

use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Subscript, Value,
    VisitMut, VisitorMut,
};

use crate::convert::TIME;

/// Adds the time where it is left out.
pub(crate) fn complete(statement: &mut Statement) {
    match statement {
        Statement::Statement(statement) => {
            let _: ControlFlow<()> = statement.visit(&mut Completer);
        }
        Statement::Explain(explain) => complete(&mut explain.statement),
        _ => {}
    }
}

struct Completer;

impl VisitorMut for Completer {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundFieldAccess { access_chain, .. } = expr {
            access_chain.iter_mut().for_each(by_name);
        }
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = match function.name.0.as_slice() {
            [part] => part.as_ident().map(|name| name.value.to_ascii_lowercase()),
            _ => None,
        };
        if !matches!(name.as_deref(), Some("first" | "last" | "ohlc")) {
            return ControlFlow::Continue(());
        }
        if let FunctionArguments::List(list) = &mut function.args
            && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))] = list.args.as_slice()
        {
            let time = beside(value);
            list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(time)));
        }
        ControlFlow::Continue(())
    }
}

fn by_name(access: &mut AccessExpr) {
    if let AccessExpr::Dot(Expr::Identifier(name)) = access {
        let field = match name.quote_style {
            Some(_) => name.value.clone(),
            None => name.value.to_ascii_lowercase(),
        };
        let index = Expr::Value(Value::SingleQuotedString(field).into());
        *access = AccessExpr::Subscript(Subscript::Index { index });
    }
}

/// The time of the table that `value` names, where it names one.
fn beside(value: &Expr) -> Expr {
    match value {
        Expr::CompoundIdentifier(names) if names.len() > 1 => {
            let mut names = names.clone();
            names.pop();
            names.push(Ident::new(TIME));
            Expr::CompoundIdentifier(names)
        }
        _ => Expr::Identifier(Ident::new(TIME)),
    }
}
