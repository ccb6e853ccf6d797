//! The SQL that is parsed: standard SQL with what people type who come from DuckDB and PostgreSQL (`EXCLUDE`, `REPLACE`, `QUALIFY`,
//! `DISTINCT ON`, `FILTER`, `GROUP BY ALL`, `FROM t` first, `[1, 2]`). A dialect of its own: sqlparser's others turn on
//! syntax that DataFusion drops silently. What it takes is fixed by the tests of [`super::parse`].

use std::any::TypeId;

use datafusion::sql::sqlparser::dialect::{Dialect, DuckDbDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;

/// The dialect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChronolithDialect;

impl Dialect for ChronolithDialect {
    // Where the parser asks which dialect it is: so that ADD COLUMN IF NOT EXISTS is understood.
    fn dialect(&self) -> TypeId {
        TypeId::of::<DuckDbDialect>()
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_'
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"' || ch == '`'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_order_by_all(&self) -> bool {
        true
    }

    fn supports_select_wildcard_exclude(&self) -> bool {
        true
    }

    fn supports_select_wildcard_except(&self) -> bool {
        true
    }

    fn supports_select_wildcard_replace(&self) -> bool {
        true
    }

    fn supports_from_first_select(&self) -> bool {
        true
    }

    fn supports_dictionary_syntax(&self) -> bool {
        true
    }

    // Without it `1_000` would be 1 with the alias `_000`.
    fn supports_numeric_literal_underscores(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn supports_values_as_table_factor(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_assignment_operator(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    fn supports_string_escape_constant(&self) -> bool {
        true
    }

    fn supports_limit_comma(&self) -> bool {
        false
    }

    // `FROM t FINAL` asks for merged rows elsewhere: an alias of that name is written with AS.
    fn is_table_factor_alias(&self, explicit: bool, kw: &Keyword, parser: &mut Parser<'_>) -> bool {
        explicit || (*kw != Keyword::FINAL && self.is_table_alias(kw, parser))
    }

    fn supports_notnull_operator(&self) -> bool {
        true
    }
}
