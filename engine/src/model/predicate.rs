//! What a read or a delete selects.

use super::Value;

/// A condition on one tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagFilter {
    /// The tag is one of these values; an empty value stands for the absent tag.
    In(Vec<String>),
    /// The tag is none of these values.
    NotIn(Vec<String>),
}

impl TagFilter {
    /// Whether `value` satisfies the condition.
    #[must_use]
    pub fn accepts(&self, value: &str) -> bool {
        match self {
            Self::In(values) => values.iter().any(|one| one == value),
            Self::NotIn(values) => values.iter().all(|one| one != value),
        }
    }
}

/// A comparison with a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

/// A condition on one field. NULL satisfies none. Floats compare as docs/decisions/0009-floats.md says.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldFilter {
    /// The field's name.
    pub field: String,
    /// How.
    pub comparison: Comparison,
    /// With what; of the field's type, or an integer for a float field.
    pub value: Value,
}

/// All conditions must hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Predicate {
    /// Conditions on tags, by name.
    pub tags: Vec<(String, TagFilter)>,
    /// Conditions on fields.
    pub fields: Vec<FieldFilter>,
}

impl Predicate {
    /// Every row.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Rows whose tag `name` is `value`.
    #[must_use]
    pub fn tag(name: &str, value: &str) -> Self {
        Self::all().and_tag(name, value)
    }

    /// Adds: the tag `name` is `value`.
    #[must_use]
    pub fn and_tag(mut self, name: &str, value: &str) -> Self {
        self.tags.push((name.into(), TagFilter::In(vec![value.into()])));
        self
    }

    /// Adds: the field `name` compares so with `value`.
    #[must_use]
    pub fn and_field(
        mut self,
        name: &str,
        comparison: Comparison,
        value: impl Into<Value>,
    ) -> Self {
        self.fields.push(FieldFilter { field: name.into(), comparison, value: value.into() });
        self
    }
}
