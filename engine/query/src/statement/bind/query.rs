//! Queries: WITH, SELECT and its clauses, set operations, ORDER BY and LIMIT.

use datafusion::sql::sqlparser::ast::{
    Distinct, ExceptSelectItem, ExcludeSelectItem, Expr, Fetch, GroupByExpr, Ident, LimitClause,
    NamedWindowDefinition, NamedWindowExpr, ObjectName, ObjectNamePart, Offset, OrderBy,
    OrderByExpr, OrderByKind, Query, ReplaceSelectItem, Select, SelectFlavor, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, Value, Values,
    WildcardAdditionalOptions, With,
};

use super::scope::{Columns, Scope};
use super::{Binder, at_span, refuse, refuse_if};
use crate::convert::SEQUENCE;
use crate::error::{Result, SqlError, SqlErrorKind};
use crate::identifier;

impl Binder<'_> {
    /// Walks a query; gives the names of its columns.
    pub(super) fn query(&mut self, query: &mut Query) -> Result<Columns> {
        let visible = self.ctes.len();
        let columns = self.query_with_ctes(query);
        self.ctes.truncate(visible);
        columns
    }

    fn query_with_ctes(&mut self, query: &mut Query) -> Result<Columns> {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        let place = &**body;
        refuse_if(
            !locks.is_empty(),
            "FOR UPDATE and FOR SHARE lock nothing here: leave them out",
            place,
        )?;
        refuse_if(
            for_clause.is_some(),
            "FOR XML, FOR JSON and FOR BROWSE are not supported",
            place,
        )?;
        refuse_if(settings.is_some(), "SETTINGS are not supported: leave them out", place)?;
        refuse_if(
            format_clause.is_some(),
            "the format of an answer is chosen beside the statement (`--format`)",
            place,
        )?;
        refuse_if(!pipe_operators.is_empty(), "pipe operators are not supported", place)?;
        if let Some(with) = with {
            self.with(with)?;
        }
        fetch_to_limit(fetch, limit_clause, body)?;
        if let Some(limit) = limit_clause {
            self.limit(limit)?;
        }
        match body.as_mut() {
            SetExpr::Select(select) => self.select(select, order_by.as_mut()),
            other => {
                let columns = self.set_expr(other)?;
                if let Some(order_by) = order_by {
                    refuse_all(order_by, "ORDER BY ALL")?;
                    let scope = Scope { aliases: columns.clone(), ..Scope::default() };
                    self.within(scope, |binder| binder.order_by(order_by))?;
                }
                Ok(columns)
            }
        }
    }

    /// Runs `walk` with `scope` as the innermost.
    pub(super) fn within<T>(
        &mut self,
        scope: Scope,
        walk: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.scopes.push(scope);
        let result = walk(self);
        self.scopes.pop();
        result
    }

    fn with(&mut self, with: &mut With) -> Result<()> {
        let With { with_token: _, recursive, cte_tables } = with;
        let first = self.ctes.len();
        for cte in cte_tables {
            let place = cte.alias.name.span;
            if cte.from.is_some() {
                return Err(at_span(
                    SqlError::refused("FROM behind a query of WITH is not supported"),
                    place,
                ));
            }
            if cte.materialized.is_some() {
                let text = "MATERIALIZED and NOT MATERIALIZED have no effect here: leave them out";
                return Err(at_span(SqlError::refused(text), place));
            }
            let name = cte.alias.name.value.clone();
            let folded = name.to_lowercase();
            let mut same = self.ctes.iter().skip(first);
            if same.any(|(other, _)| other.to_lowercase() == folded) {
                let text = format!("WITH names two queries {name:?}");
                return Err(at_span(SqlError::new(SqlErrorKind::Ambiguous, text), place));
            }
            let mut columns = if *recursive {
                self.recursive(&name, &cte.alias.columns, &mut cte.query)?
            } else {
                self.query(&mut cte.query)?
            };
            super::from::rename(&mut columns, &mut cte.alias)?;
            cte.alias.name.quote_style = Some('"');
            self.ctes.push((name, columns));
        }
        Ok(())
    }

    /// A query of WITH RECURSIVE. In its second part its own name stands for the rows so far.
    fn recursive(
        &mut self,
        name: &str,
        renamed: &[datafusion::sql::sqlparser::ast::TableAliasColumnDef],
        query: &mut Query,
    ) -> Result<Columns> {
        let SetExpr::SetOperation { op: SetOperator::Union, left, right, .. } = query.body.as_mut()
        else {
            return self.query(query);
        };
        // The planner takes the two parts alone.
        let rest = query.with.is_some()
            || query.order_by.is_some()
            || query.limit_clause.is_some()
            || query.fetch.is_some();
        refuse_if(
            rest || !query.locks.is_empty(),
            "WITH, ORDER BY and LIMIT inside a recursive query of WITH have no effect: put them around it",
            &**left,
        )?;
        let mut columns = self.set_expr(left)?;
        for (place, renamed) in renamed.iter().enumerate() {
            match columns.names.get_mut(place) {
                Some(column) => column.clone_from(&renamed.name.value),
                None => columns.names.push(renamed.name.value.clone()),
            }
        }
        self.ctes.push((name.to_owned(), columns.clone()));
        let right = self.set_expr(right);
        self.ctes.pop();
        right?;
        Ok(columns)
    }

    pub(super) fn set_expr(&mut self, body: &mut SetExpr) -> Result<Columns> {
        match body {
            SetExpr::Select(select) => self.select(select, None),
            SetExpr::Query(query) => self.query(query),
            SetExpr::Values(values) => self.values(values),
            SetExpr::SetOperation { op: _, set_quantifier, left, right } => {
                let mut columns = self.set_expr(left)?;
                let others = self.set_expr(right)?;
                if by_name(*set_quantifier) {
                    columns.open |= others.open;
                    for name in others.names {
                        if !columns.names.contains(&name) {
                            columns.names.push(name);
                        }
                    }
                }
                Ok(columns)
            }
            SetExpr::Table(_) => refuse("write `SELECT * FROM` instead of TABLE", body),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                refuse("a statement that writes cannot stand inside a query", body)
            }
        }
    }

    fn values(&mut self, values: &mut Values) -> Result<Columns> {
        let Values { explicit_row: _, value_keyword, rows } = values;
        let mut count = 0;
        for row in rows {
            count = row.content.len();
            for expr in &mut row.content {
                refuse_if(*value_keyword, "write VALUES, not VALUE", expr)?;
                self.expr(expr)?;
            }
        }
        let names = (1..=count).map(|number| format!("column{number}")).collect();
        Ok(Columns::closed(names))
    }

    fn select(&mut self, select: &mut Select, order_by: Option<&mut OrderBy>) -> Result<Columns> {
        self.scopes.push(Scope::default());
        self.windows.push(Vec::new());
        let columns = self.select_in_scope(select, order_by);
        self.windows.pop();
        self.scopes.pop();
        columns
    }

    fn select_in_scope(
        &mut self,
        select: &mut Select,
        order_by: Option<&mut OrderBy>,
    ) -> Result<Columns> {
        refuse_clauses(select)?;
        let Select { projection, from, selection, group_by, having, qualify, distinct, .. } =
            select;
        for table in from.iter_mut() {
            self.table_with_joins(table)?;
        }
        let flavor = &mut select.flavor;
        if *flavor == SelectFlavor::FromFirstNoSelect && projection.is_empty() {
            projection.push(SelectItem::Wildcard(WildcardAdditionalOptions::default()));
        }
        *flavor = SelectFlavor::Standard;
        if let Some(selection) = selection {
            self.expr(selection)?;
        }
        self.named_windows(&mut select.named_window)?;
        let mut columns = Columns::default();
        for item in projection.iter_mut() {
            self.select_item(item, &mut columns)?;
        }
        // From here on the names that SELECT gives are visible, behind the columns.
        if let Some(scope) = self.scopes.last_mut() {
            scope.aliases = columns.clone();
        }
        // The planner resolves named windows in the list of SELECT alone.
        if let Some(windows) = self.windows.last_mut() {
            windows.clear();
        }
        self.group_by(group_by)?;
        for clause in [having, qualify].into_iter().flatten() {
            self.expr(clause)?;
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.aliases_first = true;
        }
        match distinct {
            Some(Distinct::On(exprs)) => {
                exprs.iter_mut().try_for_each(|expr| self.expr(expr))?;
            }
            Some(Distinct::Distinct | Distinct::All) | None => {}
        }
        if let Some(order_by) = order_by {
            order_by_all(order_by, projection)?;
            self.order_by(order_by)?;
        }
        Ok(columns)
    }

    fn named_windows(&mut self, windows: &mut [NamedWindowDefinition]) -> Result<()> {
        for NamedWindowDefinition(name, window) in windows {
            match window {
                NamedWindowExpr::WindowSpec(spec) => self.window_spec(spec)?,
                NamedWindowExpr::NamedWindow(other) => {
                    let text = "a window that is named after another window is not supported: write it out";
                    return Err(at_span(SqlError::refused(text), other.span));
                }
            }
            name.quote_style = Some('"');
            if let Some(names) = self.windows.last_mut() {
                names.push(name.value.clone());
            }
        }
        Ok(())
    }

    fn select_item(&mut self, item: &mut SelectItem, columns: &mut Columns) -> Result<()> {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                self.expr(expr)?;
                match name_of(expr) {
                    Some(name) => columns.names.push(name),
                    None => columns.open = true,
                }
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                self.expr(expr)?;
                columns.names.push(alias.value.clone());
                alias.quote_style = Some('"');
            }
            SelectItem::ExprWithAliases { expr, .. } => {
                return refuse("several aliases for one expression are not supported", expr);
            }
            SelectItem::Wildcard(options) => {
                let mut all = Columns::default();
                for relation in self.scopes.last().into_iter().flat_map(|one| &one.relations) {
                    all.names.extend(relation.columns.names.iter().cloned());
                    all.open |= relation.columns.open;
                }
                self.wildcard(options, all, columns)?;
            }
            SelectItem::QualifiedWildcard(kind, options) => {
                let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
                    return refuse("`.*` behind an expression is not supported", kind);
                };
                let mut parts: Vec<Ident> =
                    name.0.iter().filter_map(ObjectNamePart::as_ident).cloned().collect();
                let all = self.qualifier(&mut parts)?;
                *name = ObjectName::from(parts);
                self.wildcard(options, all, columns)?;
            }
        }
        Ok(())
    }

    /// `*` with its options: `all` are the columns that it stands for.
    fn wildcard(
        &mut self,
        options: &mut WildcardAdditionalOptions,
        all: Columns,
        columns: &mut Columns,
    ) -> Result<()> {
        let WildcardAdditionalOptions {
            wildcard_token,
            opt_ilike,
            opt_exclude,
            opt_except,
            opt_replace,
            opt_rename,
            opt_alias,
        } = options;
        let place = wildcard_token.0.span;
        let refused = [
            (opt_ilike.is_some(), "`* ILIKE` is not supported: name the columns"),
            (opt_rename.is_some(), "`* RENAME` is not supported: name the columns"),
            (opt_alias.is_some(), "`*` with an alias is not supported"),
        ];
        if let Some((_, text)) = refused.into_iter().find(|(present, _)| *present) {
            return Err(at_span(SqlError::refused(text), place));
        }
        let mut hidden = vec![SEQUENCE.to_owned()];
        let find = |ident: &mut Ident| -> Result<()> {
            let visible = all.names.iter().map(String::as_str);
            match identifier::find(&ident.value, visible.clone()) {
                identifier::Found::One(found) => identifier::set(ident, &found),
                identifier::Found::Several(names) => {
                    return Err(super::ambiguous("column", ident, &names));
                }
                identifier::Found::None if all.open => {}
                identifier::Found::None => {
                    return Err(super::unknown(
                        crate::error::Unknown::Column,
                        "column",
                        ident,
                        visible,
                    ));
                }
            }
            Ok(())
        };
        for ident in excluded(opt_exclude, opt_except) {
            find(ident)?;
            hidden.push(ident.value.clone());
        }
        if let Some(ReplaceSelectItem { items }) = opt_replace {
            for item in items {
                find(&mut item.column_name)?;
                self.expr(&mut item.expr)?;
            }
        }
        columns.names.extend(all.names.into_iter().filter(|name| !hidden.contains(name)));
        columns.open |= all.open;
        Ok(())
    }

    fn group_by(&mut self, group_by: &mut GroupByExpr) -> Result<()> {
        let modifiers = match group_by {
            GroupByExpr::All(modifiers) => modifiers,
            GroupByExpr::Expressions(exprs, modifiers) => {
                exprs.iter_mut().try_for_each(|expr| self.grouping(expr))?;
                modifiers
            }
        };
        if modifiers.is_empty() {
            return Ok(());
        }
        Err(SqlError::refused(
            "WITH ROLLUP, WITH CUBE and WITH TOTALS are not supported: write GROUP BY ROLLUP (a, b)",
        ))
    }

    fn order_by(&mut self, order_by: &mut OrderBy) -> Result<()> {
        let OrderBy { kind, interpolate } = order_by;
        if interpolate.is_some() {
            return Err(SqlError::refused("INTERPOLATE is not supported"));
        }
        match kind {
            OrderByKind::All(_) => Ok(()),
            OrderByKind::Expressions(exprs) => self.sort(exprs),
        }
    }

    pub(super) fn sort(&mut self, exprs: &mut [OrderByExpr]) -> Result<()> {
        for OrderByExpr { expr, options: _, with_fill } in exprs {
            refuse_if(
                with_fill.is_some(),
                "WITH FILL is not supported: write the missing rows out with generate_series and join them",
                expr,
            )?;
            self.expr(expr)?;
        }
        Ok(())
    }

    fn limit(&mut self, limit: &mut LimitClause) -> Result<()> {
        let walk = |binder: &mut Self| match limit {
            LimitClause::LimitOffset { limit, offset, limit_by } => {
                if let Some(first) = limit_by.first() {
                    return refuse(
                        "LIMIT ... BY is not supported: write `QUALIFY row_number() OVER (PARTITION BY ...) <= n`",
                        first,
                    );
                }
                let offset = offset.as_mut().map(|Offset { value, rows: _ }| value);
                limit.as_mut().into_iter().chain(offset).try_for_each(|expr| binder.expr(expr))
            }
            LimitClause::OffsetCommaLimit { offset, limit: _ } => {
                refuse("write `LIMIT n OFFSET m` instead of `LIMIT m, n`", offset)
            }
        };
        self.within(Scope::default(), walk)
    }
}

fn by_name(quantifier: SetQuantifier) -> bool {
    match quantifier {
        SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName => true,
        SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None => false,
    }
}

/// Refuses the clauses of SELECT that no planner sees.
fn refuse_clauses(select: &Select) -> Result<()> {
    let Select {
        select_token: _,
        optimizer_hints,
        distinct: _,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection: _,
        exclude,
        into,
        from: _,
        lateral_views,
        prewhere,
        selection: _,
        connect_by,
        group_by: _,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window: _,
        qualify: _,
        window_before_qualify: _,
        value_table_mode,
        flavor: _,
    } = select;
    let refused = [
        (!optimizer_hints.is_empty(), "hints to the optimiser are not supported: leave them out"),
        (
            select_modifiers.as_ref().is_some_and(|some| some.is_any_set()),
            "modifiers of SELECT are not supported: leave them out",
        ),
        (top.is_some(), "write `LIMIT n` at the end instead of TOP"),
        (exclude.is_some(), "write `* EXCLUDE (column)`: EXCLUDE belongs to the asterisk"),
        (into.is_some(), "write `CREATE TABLE t AS SELECT ...` instead of SELECT INTO"),
        (!lateral_views.is_empty(), "LATERAL VIEW is not supported: write `unnest(column)`"),
        (
            prewhere.is_some(),
            "write WHERE instead of PREWHERE: conditions are applied as early as they can be",
        ),
        (!connect_by.is_empty(), "CONNECT BY is not supported: write WITH RECURSIVE"),
        (!cluster_by.is_empty(), "CLUSTER BY is not supported"),
        (!distribute_by.is_empty(), "DISTRIBUTE BY is not supported"),
        (!sort_by.is_empty(), "write ORDER BY instead of SORT BY"),
        (value_table_mode.is_some(), "AS STRUCT and AS VALUE are not supported"),
    ];
    refused.into_iter().try_for_each(|(present, text)| refuse_if(present, text, select))
}

/// `FETCH FIRST n ROWS ONLY` is `LIMIT n`.
fn fetch_to_limit(
    fetch: &mut Option<Fetch>,
    limit_clause: &mut Option<LimitClause>,
    place: &SetExpr,
) -> Result<()> {
    let Some(Fetch { with_ties, percent, quantity }) = fetch.take() else { return Ok(()) };
    refuse_if(
        with_ties || percent,
        "FETCH takes `FIRST n ROWS ONLY`; WITH TIES and PERCENT are not supported",
        place,
    )?;
    let quantity = quantity.unwrap_or_else(|| Expr::value(Value::Number("1".into(), false)));
    match limit_clause {
        None => {
            *limit_clause = Some(LimitClause::LimitOffset {
                limit: Some(quantity),
                offset: None,
                limit_by: Vec::new(),
            });
            Ok(())
        }
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => {
            *limit = Some(quantity);
            Ok(())
        }
        Some(_) => refuse("LIMIT and FETCH say the same: leave one out", place),
    }
}

fn refuse_all(order_by: &OrderBy, what: &str) -> Result<()> {
    match order_by.kind {
        OrderByKind::All(_) => {
            Err(SqlError::refused(format!("{what} is not supported here: name the columns")))
        }
        OrderByKind::Expressions(_) => Ok(()),
    }
}

/// `ORDER BY ALL` is by the number of each column, left to right.
fn order_by_all(order_by: &mut OrderBy, projection: &[SelectItem]) -> Result<()> {
    let OrderByKind::All(options) = order_by.kind else { return Ok(()) };
    let named = projection.iter().all(|item| match item {
        SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. } => true,
        SelectItem::ExprWithAliases { .. }
        | SelectItem::Wildcard(_)
        | SelectItem::QualifiedWildcard(..) => false,
    });
    if !named {
        return refuse_all(order_by, "ORDER BY ALL with an asterisk");
    }
    let number = |at: usize| OrderByExpr {
        expr: Expr::value(Value::Number((at + 1).to_string(), false)),
        options,
        with_fill: None,
    };
    order_by.kind = OrderByKind::Expressions((0..projection.len()).map(number).collect());
    Ok(())
}

/// The name that the planner gives to an expression without an alias, where it can be told.
fn name_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(ident.value.clone()),
        // Parts behind a column give another name, but then the name is not asked for.
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()),
        _ => None,
    }
}

fn excluded<'a>(
    exclude: &'a mut Option<ExcludeSelectItem>,
    except: &'a mut Option<ExceptSelectItem>,
) -> Vec<&'a mut Ident> {
    let names: Vec<&mut ObjectName> = match exclude {
        None => Vec::new(),
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        Some(ExcludeSelectItem::Multiple(names)) => names.iter_mut().collect(),
    };
    let last = |name: &'a mut ObjectName| match name.0.last_mut() {
        Some(ObjectNamePart::Identifier(ident)) => Some(ident),
        _ => None,
    };
    let mut idents: Vec<&mut Ident> = names.into_iter().filter_map(last).collect();
    if let Some(ExceptSelectItem { first_element, additional_elements }) = except {
        idents.push(first_element);
        idents.extend(additional_elements.iter_mut());
    }
    idents
}
