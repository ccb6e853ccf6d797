//! From text to one [`Statement`] of the allow-list. Everything else is refused with what to write instead.

use datafusion::sql::sqlparser::ast::{
    self, AlterTable, AlterTableOperation, ColumnDef, CreateTableOptions, Delete, Expr, FromTable,
    Ident, Insert, ObjectName, ObjectType, Query, Set, SetExpr, ShowCreateObject, SqlOption,
    TableFactor, TableObject, TableWithJoins, Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::bind::{at, file};
use super::depth;
use super::dialect::ChronolithDialect;
use super::habits;
use crate::error::{Result, SqlError, SqlErrorKind};

/// A statement that is run. Names are as typed.
#[derive(Debug)]
pub(crate) enum Statement {
    /// `SELECT`, `VALUES`, `WITH`.
    Query(Box<Query>),
    /// `EXPLAIN [ANALYZE] [VERBOSE]` of a query.
    Explain { analyze: bool, verbose: bool, query: Box<Query> },
    /// `CREATE TABLE`, with `AS SELECT` or without.
    CreateTable(CreateTable),
    /// `ALTER TABLE ... ADD COLUMN`.
    AddColumns { table: ObjectName, columns: Vec<(ColumnDef, bool)> },
    /// `DROP TABLE`.
    DropTable { table: ObjectName, if_exists: bool },
    /// `INSERT INTO`.
    Insert { table: ObjectName, columns: Vec<Ident>, source: Box<Query> },
    /// `DELETE FROM`.
    Delete { table: ObjectName, condition: Option<Box<Expr>> },
    /// `DESCRIBE`.
    Describe { table: ObjectName },
    /// `SHOW TABLES`.
    ShowTables,
    /// `SHOW CREATE TABLE`.
    ShowCreateTable { table: ObjectName },
    /// `SUMMARIZE` of a table or a query.
    Summarize(Box<Query>),
    /// `SET TIME ZONE`; none: the default.
    SetTimeZone(Option<String>),
}

/// `CREATE TABLE`, as it is written.
#[derive(Debug)]
pub(crate) struct CreateTable {
    pub name: ObjectName,
    pub if_not_exists: bool,
    pub columns: Vec<ColumnDef>,
    pub options: Vec<(Ident, ValueWithSpan)>,
    pub source: Option<Box<Query>>,
}

impl Statement {
    /// Whether the statement needs a database that is open for writing.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::CreateTable(_)
            | Self::AddColumns { .. }
            | Self::DropTable { .. }
            | Self::Insert { .. }
            | Self::Delete { .. } => true,
            Self::Query(_)
            | Self::Explain { .. }
            | Self::Describe { .. }
            | Self::ShowTables
            | Self::ShowCreateTable { .. }
            | Self::Summarize(_)
            | Self::SetTimeZone(_) => false,
        }
    }
}

/// The tokens of `sql`.
///
/// # Errors
/// `Syntax`.
pub(super) fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>> {
    depth::check_length(sql)?;
    Tokenizer::new(&ChronolithDialect, sql).tokenize_with_location().map_err(|error| {
        let place = error.location;
        syntax(&error.message).at(place.line, place.column)
    })
}

/// Parses one statement. A semicolon may end it.
///
/// # Errors
/// `Syntax` with the place; `Refused` for a statement that is not on the list.
pub(crate) fn parse(sql: &str) -> Result<Statement> {
    let tokens = tokens(sql)?;
    depth::check(&tokens)?;
    let first =
        tokens.iter().find(|one| !matches!(one.token, Token::Whitespace(_) | Token::SemiColon));
    let first = match first.map(|one| &one.token) {
        Some(Token::EOF) | None => {
            return Err(at_end(syntax("a statement is expected, the text is empty"), sql));
        }
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        Some(_) => String::new(),
    };
    let advice = |error: SqlError| match habits::of_statement(&tokens) {
        Some((advice, (line, column))) => {
            let text = format!("{}: {advice}", error.message);
            SqlError::new(error.kind, text).at(line, column)
        }
        None => error,
    };
    let mut parser = Parser::new(&ChronolithDialect)
        .with_recursion_limit(2 * depth::NESTING_MAX)
        .with_tokens_with_locations(tokens.clone());
    let mut words = tokens.iter().filter_map(|one| match &one.token {
        Token::Word(word) => Some(word.value.to_ascii_uppercase()),
        _ => None,
    });
    let parsed = if words.by_ref().take(2).eq(["CREATE", "EXTERNAL"]) {
        refuse("tables over files are not supported: import the file with `chronolith import`")
    } else if first == "SUMMARIZE" {
        summarize(&mut parser)
    } else {
        parser.parse_statement().map_err(of_parser).and_then(|mut statement| {
            file::locate(&mut statement, &tokens);
            allow(statement, &tokens)
        })
    };
    let statement = parsed.map_err(|error| advice(at_end(error, sql)))?;
    while parser.consume_token(&Token::SemiColon) {}
    let rest = parser.peek_token();
    if rest.token == Token::EOF {
        return Ok(statement);
    }
    let place = rest.span.start;
    let text = format!("the statement is expected to end here, found: {}", rest.token);
    Err(advice(syntax(&text).at(place.line, place.column)))
}

fn syntax(text: &str) -> SqlError {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    let text: String = first.into_iter().chain(chars).collect();
    SqlError::new(SqlErrorKind::Syntax, text)
}

/// A syntax error without a place is one at the end of the text.
fn at_end(error: SqlError, sql: &str) -> SqlError {
    if error.kind != SqlErrorKind::Syntax || error.position.is_some() {
        return error;
    }
    let text = sql.trim_end();
    let last = text.rsplit('\n').next().unwrap_or_default();
    error.at(1 + text.matches('\n').count() as u64, 1 + last.chars().count() as u64)
}

/// The parser puts the place at the end of its message.
fn of_parser(error: ParserError) -> SqlError {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => {
            return syntax("the statement nests too deep: split it");
        }
    };
    let Some((message, place)) = text.rsplit_once(" at Line: ") else { return syntax(&text) };
    let numbers = place.split_once(", Column: ");
    let numbers =
        numbers.and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
    match numbers {
        Some((line, column)) => syntax(message).at(line, column),
        None => syntax(&text),
    }
}

/// `SUMMARIZE t`, `SUMMARIZE SELECT ...`.
fn summarize(parser: &mut Parser<'_>) -> Result<Statement> {
    parser.next_token();
    let next = parser.peek_token();
    let query = match &next.token {
        Token::Word(word) if word.quote_style.is_none() && begins_query(&word.value) => {
            parser.parse_query().map_err(of_parser)?
        }
        Token::LParen => parser.parse_query().map_err(of_parser)?,
        _ => {
            let name = parser.parse_object_name(true).map_err(of_parser)?;
            select_all(&name)?
        }
    };
    Ok(Statement::Summarize(query))
}

fn begins_query(word: &str) -> bool {
    ["SELECT", "WITH", "FROM", "VALUES"].iter().any(|one| word.eq_ignore_ascii_case(one))
}

/// `SELECT * FROM name`, with the places that `name` has in the statement.
fn select_all(name: &ObjectName) -> Result<Box<Query>> {
    let sql = format!("SELECT * FROM {name}");
    let mut parser = Parser::new(&ChronolithDialect).try_with_sql(&sql).map_err(of_parser)?;
    let mut query = parser.parse_query().map_err(of_parser)?;
    if let SetExpr::Select(select) = query.body.as_mut()
        && let [TableWithJoins { relation: TableFactor::Table { name: parsed, .. }, .. }] =
            select.from.as_mut_slice()
    {
        parsed.clone_from(name);
    }
    Ok(query)
}

fn refuse<T>(text: &str) -> Result<T> {
    Err(SqlError::refused(text))
}

fn refuse_if(present: bool, text: &str) -> Result<()> {
    if present { refuse(text) } else { Ok(()) }
}

/// What is run of what is parsed.
fn allow(statement: ast::Statement, tokens: &[TokenWithSpan]) -> Result<Statement> {
    use ast::Statement as Parsed;
    match statement {
        Parsed::Query(query) => Ok(Statement::Query(query)),
        Parsed::Explain {
            analyze,
            verbose,
            query_plan,
            estimate,
            statement,
            format,
            options,
            describe_alias: _,
        } => {
            let other = query_plan || estimate || format.is_some() || options.is_some();
            refuse_if(other, "EXPLAIN takes ANALYZE and VERBOSE alone")?;
            match *statement {
                Parsed::Query(query) => Ok(Statement::Explain { analyze, verbose, query }),
                _ => refuse("EXPLAIN explains queries alone"),
            }
        }
        Parsed::ExplainTable {
            describe_alias: _,
            hive_format,
            has_table_keyword: _,
            table_name,
        } => {
            refuse_if(hive_format.is_some(), "DESCRIBE takes a table alone")?;
            Ok(Statement::Describe { table: table_name })
        }
        Parsed::CreateTable(create) => create_table(create),
        Parsed::AlterTable(alter) => alter_table(alter),
        Parsed::Drop {
            object_type,
            if_exists,
            names,
            cascade,
            restrict,
            purge,
            temporary,
            table,
        } => {
            refuse_if(
                object_type != ObjectType::Table,
                "only tables can be dropped: write DROP TABLE",
            )?;
            refuse_if(
                cascade || restrict || purge || temporary || table.is_some(),
                "DROP TABLE takes a name alone",
            )?;
            match <[ObjectName; 1]>::try_from(names) {
                Ok([table]) => Ok(Statement::DropTable { table, if_exists }),
                Err(_) => refuse("drop one table at a time: each statement is atomic by itself"),
            }
        }
        Parsed::Insert(insert) => insert_into(insert),
        Parsed::Delete(delete) => delete_from(delete),
        Parsed::ShowTables { terse, history, extended, full, external, show_options } => {
            let ast::ShowStatementOptions {
                show_in,
                starts_with,
                limit,
                limit_from,
                filter_position,
            } = show_options;
            let more = terse || history || extended || full || external;
            let options = show_in.is_some()
                || starts_with.is_some()
                || limit.is_some()
                || limit_from.is_some()
                || filter_position.is_some();
            refuse_if(
                more || options,
                "SHOW TABLES stands alone: for conditions ask system.tables",
            )?;
            Ok(Statement::ShowTables)
        }
        Parsed::ShowCreate { obj_type: ShowCreateObject::Table, obj_name } => {
            Ok(Statement::ShowCreateTable { table: obj_name })
        }
        Parsed::ShowCreate { .. } => refuse("write SHOW CREATE TABLE"),
        Parsed::Set(set) => set_time_zone(set),
        other => refuse(&refusal(&other, tokens)),
    }
}

/// Why a statement is not run. Where there is advice on what to write instead, [`parse`] adds it.
fn refusal(statement: &ast::Statement, tokens: &[TokenWithSpan]) -> String {
    use ast::Statement as Parsed;
    match statement {
        Parsed::CreateView(_) => {
            "views are not kept: write a query of WITH, or CREATE TABLE ... AS SELECT".into()
        }
        Parsed::Copy { .. }
        | Parsed::Unload { .. }
        | Parsed::ExportData(_)
        | Parsed::Directory { .. } => {
            "statements neither read nor write the server's files: import and export beside them"
                .into()
        }
        Parsed::LoadData { .. } | Parsed::Load { .. } | Parsed::Install { .. } => {
            "statements do not load files: import them with `chronolith import`".into()
        }
        Parsed::AttachDatabase { .. }
        | Parsed::AttachDuckDBDatabase { .. }
        | Parsed::DetachDuckDBDatabase { .. } => {
            "one directory is one database: open the other by itself".into()
        }
        Parsed::Prepare { .. } | Parsed::Execute { .. } | Parsed::Deallocate { .. } => {
            "prepared statements are not supported: send the statement with its values".into()
        }
        Parsed::ShowVariable { .. } | Parsed::ShowVariables { .. } => {
            "there are no variables to show; SHOW TABLES and SHOW CREATE TABLE t are supported"
                .into()
        }
        other => {
            let text = other.to_string();
            let mut words = text.split_whitespace();
            if habits::of_statement(tokens).is_some() {
                let word = words.next().unwrap_or_default().to_uppercase();
                return format!("{word} is not supported");
            }
            let words: Vec<&str> = words.take(2).collect();
            format!(
                "`{}` is not supported; there are: SELECT, EXPLAIN, CREATE TABLE, ALTER TABLE ... ADD COLUMN, DROP TABLE, INSERT INTO, \
                 DELETE FROM, DESCRIBE, SHOW TABLES, SHOW CREATE TABLE, SUMMARIZE, SET TIME ZONE",
                words.join(" ").to_uppercase()
            )
        }
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one name for each field that must not be dropped silently"
)]
fn create_table(create: ast::CreateTable) -> Result<Statement> {
    let ast::CreateTable {
        or_replace,
        temporary,
        external,
        dynamic,
        global,
        if_not_exists,
        transient,
        volatile,
        iceberg,
        snapshot,
        name,
        columns,
        constraints,
        hive_distribution,
        hive_formats,
        table_options,
        file_format,
        location,
        query,
        without_rowid,
        like,
        clone,
        version,
        comment,
        on_commit,
        on_cluster,
        primary_key,
        order_by,
        partition_by,
        cluster_by,
        clustered_by,
        inherits,
        partition_of,
        for_values,
        strict,
        copy_grants,
        enable_schema_evolution,
        change_tracking,
        data_retention_time_in_days,
        max_data_extension_time_in_days,
        default_ddl_collation,
        with_aggregation_policy,
        with_row_access_policy,
        with_storage_lifecycle_policy,
        with_tags,
        external_volume,
        base_location,
        catalog,
        catalog_sync,
        storage_serialization_policy,
        target_lag,
        warehouse,
        refresh_mode,
        initialize,
        require_user,
        diststyle,
        distkey,
        sortkey,
        backup,
    } = create;
    let hive_formats = hive_formats.is_some_and(|formats| formats != ast::HiveFormat::default());
    let files = external || location.is_some() || file_format.is_some() || hive_formats;
    refuse_if(
        files,
        "tables over files are not supported: import the file with `chronolith import`",
    )?;
    refuse_if(
        or_replace,
        "OR REPLACE is not supported: write DROP TABLE first, each statement is atomic by itself",
    )?;
    refuse_if(
        temporary || transient || volatile || snapshot || dynamic || iceberg || global.is_some(),
        "every table is durable: there are no temporary tables",
    )?;
    refuse_if(
        like.is_some() || clone.is_some() || version.is_some(),
        "LIKE and CLONE are not supported: see SHOW CREATE TABLE",
    )?;
    refuse_if(
        primary_key.is_some() || !constraints.is_empty(),
        "keys and constraints are not supported: a table's series are told apart by its tags, and WITH (merge = 'last_row') keeps one row a series and time",
    )?;
    refuse_if(
        partition_by.is_some()
            || partition_of.is_some()
            || for_values.is_some()
            || hive_distribution != ast::HiveDistributionStyle::NONE,
        "leave PARTITION BY out: time partitions are chosen by the amount of data",
    )?;
    refuse_if(
        order_by.is_some() || cluster_by.is_some() || clustered_by.is_some() || sortkey.is_some(),
        "leave the order out: rows are kept by series and time",
    )?;
    refuse_if(comment.is_some(), "comments on tables are not kept")?;
    let others = [
        without_rowid,
        on_commit.is_some(),
        on_cluster.is_some(),
        inherits.is_some(),
        strict,
        copy_grants,
        enable_schema_evolution.is_some(),
        change_tracking.is_some(),
        data_retention_time_in_days.is_some(),
        max_data_extension_time_in_days.is_some(),
        default_ddl_collation.is_some(),
        with_aggregation_policy.is_some(),
        with_row_access_policy.is_some(),
        with_storage_lifecycle_policy.is_some(),
        with_tags.is_some(),
        external_volume.is_some(),
        base_location.is_some(),
        catalog.is_some(),
        catalog_sync.is_some(),
        storage_serialization_policy.is_some(),
        target_lag.is_some(),
        warehouse.is_some(),
        refresh_mode.is_some(),
        initialize.is_some(),
        require_user,
        diststyle.is_some(),
        distkey.is_some(),
        backup.is_some(),
    ];
    refuse_if(
        others.contains(&true),
        "CREATE TABLE takes columns, WITH (...) and AS SELECT alone",
    )?;
    let options = match table_options {
        CreateTableOptions::None => Vec::new(),
        CreateTableOptions::With(options) => options,
        CreateTableOptions::Options(_)
        | CreateTableOptions::Plain(_)
        | CreateTableOptions::TableProperties(_) => {
            return refuse(
                "properties of a table go into WITH (tags = '...', merge = 'append', schema = 'dynamic', history = '24h')",
            );
        }
    };
    let options = options.into_iter().map(option).collect::<Result<Vec<_>>>()?;
    Ok(Statement::CreateTable(CreateTable { name, if_not_exists, columns, options, source: query }))
}

fn option(option: SqlOption) -> Result<(Ident, ValueWithSpan)> {
    match option {
        SqlOption::KeyValue { key, value: Expr::Value(value) } => Ok((key, value)),
        SqlOption::KeyValue { key, value } => Err(at(
            SqlError::invalid(format!("option {}: a text in quotes is expected", key.value)),
            &value,
        )),
        other => refuse(&format!("option `{other}`: write `name = 'value'`")),
    }
}

fn alter_table(alter: AlterTable) -> Result<Statement> {
    const ONLY: &str =
        "ALTER TABLE takes ADD COLUMN alone: tags and fields are added, never dropped or changed";
    let AlterTable {
        name,
        if_exists,
        only,
        operations,
        location,
        on_cluster,
        table_type,
        end_token: _,
    } = alter;
    let more =
        if_exists || only || location.is_some() || on_cluster.is_some() || table_type.is_some();
    refuse_if(more, "ALTER TABLE takes a name alone")?;
    let columns = operations.into_iter().map(|operation| match operation {
        AlterTableOperation::AddColumn {
            column_keyword: _,
            if_not_exists,
            column_def,
            column_position,
        } => {
            refuse_if(
                column_position.is_some(),
                "a new column comes last: leave FIRST and AFTER out",
            )?;
            Ok((column_def, if_not_exists))
        }
        _ => refuse(ONLY),
    });
    Ok(Statement::AddColumns { table: name, columns: columns.collect::<Result<Vec<_>>>()? })
}

fn insert_into(insert: Insert) -> Result<Statement> {
    let Insert {
        insert_token: _,
        optimizer_hints,
        or,
        ignore,
        into: _,
        table,
        table_alias,
        columns,
        overwrite,
        source,
        assignments,
        partitioned,
        after_columns,
        has_table_keyword,
        on,
        returning,
        output,
        replace_into,
        priority,
        insert_alias,
        settings,
        format_clause,
        multi_table_insert_type,
        multi_table_into_clauses,
        multi_table_when_clauses,
        multi_table_else_clause,
    } = insert;
    refuse_if(
        or.is_some() || ignore || on.is_some() || replace_into,
        "what becomes of rows of one series and time is chosen for the table: WITH (merge = 'last_row')",
    )?;
    refuse_if(
        returning.is_some() || output.is_some(),
        "RETURNING is not supported: the answer tells how many rows were written",
    )?;
    refuse_if(overwrite, "OVERWRITE is not supported: write DELETE FROM first")?;
    let others = [
        !optimizer_hints.is_empty(),
        table_alias.is_some(),
        partitioned.is_some(),
        !after_columns.is_empty(),
        has_table_keyword,
        priority.is_some(),
        insert_alias.is_some(),
        settings.is_some(),
        format_clause.is_some(),
        multi_table_insert_type.is_some(),
        !multi_table_into_clauses.is_empty(),
        !multi_table_when_clauses.is_empty(),
        multi_table_else_clause.is_some(),
        !assignments.is_empty(),
    ];
    refuse_if(others.contains(&true), "write INSERT INTO t (columns) VALUES (...) or SELECT ...")?;
    let TableObject::TableName(table) = table else {
        return refuse("INSERT INTO takes the name of a table");
    };
    let Some(source) = source else {
        return refuse("INSERT INTO needs VALUES (...) or SELECT ...");
    };
    let column = |name: ObjectName| match <[ast::ObjectNamePart; 1]>::try_from(name.0) {
        Ok([ast::ObjectNamePart::Identifier(ident)]) => Ok(ident),
        _ => refuse("INSERT INTO names plain columns"),
    };
    let columns = columns.into_iter().map(column).collect::<Result<Vec<_>>>()?;
    Ok(Statement::Insert { table, columns, source })
}

fn delete_from(delete: Delete) -> Result<Statement> {
    let Delete {
        delete_token: _,
        optimizer_hints,
        tables,
        from,
        using,
        selection,
        returning,
        output,
        order_by,
        limit,
    } = delete;
    refuse_if(
        returning.is_some() || output.is_some(),
        "RETURNING is not supported: the answer tells how many rows were deleted",
    )?;
    let others = !optimizer_hints.is_empty()
        || !tables.is_empty()
        || using.is_some()
        || !order_by.is_empty()
        || limit.is_some();
    refuse_if(others, "DELETE takes FROM and WHERE alone")?;
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = from;
    let table = match <[ast::TableWithJoins; 1]>::try_from(from) {
        Ok(
            [
                ast::TableWithJoins {
                    relation:
                        TableFactor::Table {
                            name,
                            alias: None,
                            args: None,
                            with_hints,
                            version: None,
                            with_ordinality: false,
                            partitions,
                            json_path: None,
                            sample: None,
                            index_hints,
                        },
                    joins,
                },
            ],
        ) if with_hints.is_empty()
            && partitions.is_empty()
            && index_hints.is_empty()
            && joins.is_empty() =>
        {
            name
        }
        _ => return refuse("DELETE FROM takes the name of one table, without an alias"),
    };
    Ok(Statement::Delete { table, condition: selection.map(Box::new) })
}

fn set_time_zone(set: Set) -> Result<Statement> {
    const ONLY: &str = "the one setting of a session is the time zone: SET TIME ZONE 'Europe/Berlin'; everything else is chosen when the database is opened";
    let value = match set {
        Set::SetTimeZone { local: false, value } => value,
        Set::SingleAssignment { scope: None, hivevar: false, variable, mut values } => {
            let name = variable.to_string().to_ascii_lowercase();
            refuse_if(!matches!(name.as_str(), "timezone" | "time_zone"), ONLY)?;
            match (values.pop(), values.pop()) {
                (Some(value), None) => value,
                _ => return refuse(ONLY),
            }
        }
        _ => return refuse(ONLY),
    };
    match &value {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(zone), span: _ }) => {
            Ok(Statement::SetTimeZone(Some(zone.clone())))
        }
        Expr::Identifier(ident) if ident.value.eq_ignore_ascii_case("default") => {
            Ok(Statement::SetTimeZone(None))
        }
        Expr::Identifier(ident) if ident.value.eq_ignore_ascii_case("utc") => {
            Ok(Statement::SetTimeZone(None))
        }
        other => Err(at(
            SqlError::invalid("a time zone is a text in quotes: 'UTC', 'Asia/Kolkata', '+05:30'"),
            other,
        )),
    }
}
