//! The catalog's rules, numbers and bytes.

use chronolith_codec::varint::Reader;

use super::*;
use crate::error::ErrorKind;
use crate::limits::NAME_LEN_BYTES_MAX;
use crate::model::{MergeMode, SchemaMode};
use crate::rng::{Rng, SeededRng};

fn options(tags: &[&str], fields: &[&str]) -> TableOptions {
    TableOptions {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        fields: fields.iter().map(|field| ((*field).to_owned(), FieldType::F64)).collect(),
        ..TableOptions::default()
    }
}

fn with(catalog: &Catalog, name: &str, options: &TableOptions) -> Result<Catalog> {
    catalog.apply(&CatalogChange::CreateTable(catalog.plan_table(name, options)))
}

fn sample() -> Catalog {
    let catalog = with(&Catalog::default(), "trades", &options(&["sym"], &["t", "T"])).unwrap();
    with(&catalog, "quotes", &options(&[], &["bid"])).unwrap()
}

fn encoded(catalog: &Catalog) -> Vec<u8> {
    let mut bytes = Vec::new();
    catalog.encode(&mut bytes);
    bytes
}

fn decoded(bytes: &[u8]) -> Option<Catalog> {
    let mut reader = Reader::new(bytes);
    let catalog = Catalog::decode(&mut reader).ok()?;
    reader.finish().ok().map(|()| catalog)
}

#[test]
fn names_follow_the_rules() {
    let long = "x".repeat(NAME_LEN_BYTES_MAX + 1);
    for bad in ["", "a\nb", "a\0", long.as_str()] {
        assert!(check_table_name(bad).is_err(), "{bad:?}");
        assert!(check_column_name(bad).is_err(), "{bad:?}");
    }
    for bad in ["time", "_seq", "_"] {
        assert!(check_column_name(bad).is_err(), "{bad:?}");
        assert!(check_table_name(bad).is_ok(), "{bad:?}");
    }
    for good in ["Time", "t", "T", "a b", "\u{e9}t\u{e9}", &long[1..]] {
        assert!(check_column_name(good).is_ok(), "{good:?}");
    }
}

#[test]
fn columns_are_distinct_by_exact_name() {
    let catalog = sample();
    let trades = catalog.get("trades").unwrap();
    assert_eq!(trades.fields.len(), 2, "t and T are two fields");
    for taken in ["sym", "t", "T"] {
        let tag = CatalogChange::add_tag(trades, taken);
        let field = CatalogChange::add_field(trades, taken, FieldType::I64);
        assert_eq!(catalog.apply(&tag).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(catalog.apply(&field).unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert!(with(&catalog, "x", &options(&["a"], &["a"])).is_err());
    let column = trades.field("t").unwrap().id;
    let rename = |name: &str| {
        let name = name.to_owned();
        catalog.apply(&CatalogChange::RenameColumn { table: trades.id, column, name })
    };
    assert!(rename("T").is_err() && rename("sym").is_err() && rename("_t").is_err());
    assert!(rename("t").is_ok());
    assert_eq!(rename("u").unwrap().get("trades").unwrap().field("u").unwrap().id, column);
}

#[test]
fn numbers_are_never_given_twice() {
    let catalog = sample();
    let (trades, quotes) = (catalog.get("trades").unwrap(), catalog.get("quotes").unwrap());
    assert_eq!((trades.id, quotes.id), (TableId(1), TableId(2)));
    let dropped = catalog.apply(&CatalogChange::DropTable { table: quotes.id }).unwrap();
    assert!(dropped.was_dropped(TableId(2)) && !dropped.was_dropped(TableId(3)));
    let again = with(&dropped, "quotes", &options(&[], &[])).unwrap();
    assert_eq!(again.get("quotes").unwrap().id, TableId(3));
    let column = trades.field("T").unwrap().id;
    let change = CatalogChange::DropField { table: trades.id, column };
    let without = catalog.apply(&change).unwrap();
    let trades = without.get("trades").unwrap();
    let with = without.apply(&CatalogChange::add_field(trades, "T", FieldType::Bool)).unwrap();
    assert_ne!(with.get("trades").unwrap().field("T").unwrap().id, column);
    // A change that was planned twice fits once.
    let change = CatalogChange::add_tag(trades, "venue");
    let once = without.apply(&change).unwrap();
    assert!(once.apply(&change).is_err());
    let table = CatalogChange::CreateTable(without.plan_table("n", &TableOptions::default()));
    let twice = without.apply(&table).unwrap().apply(&table);
    assert!(matches!(twice, Err(Error::TableExists(_))));
}

#[test]
fn reserved_tables_are_the_engines() {
    let user = Catalog::default();
    let schema = user.plan_table("chronolith_imports", &options(&["file"], &[]));
    let create = CatalogChange::CreateTable(schema);
    assert_eq!(user.apply(&create).unwrap_err().kind(), ErrorKind::Invalid);
    let catalog = user.apply_system(&create).unwrap();
    let table = catalog.get("chronolith_imports").unwrap();
    for change in [
        CatalogChange::add_tag(table, "x"),
        CatalogChange::DropTable { table: table.id },
        CatalogChange::RenameTable { table: table.id, name: "mine".into() },
    ] {
        assert!(catalog.apply(&change).is_err() && catalog.apply_system(&change).is_ok());
    }
    let named = CatalogChange::RenameTable { table: TableId(1), name: "chronolith_x".into() };
    assert!(sample().apply(&named).is_err());
}

#[test]
fn renaming_a_table_frees_its_old_name() {
    let catalog = sample();
    let rename = |name: &str| CatalogChange::RenameTable { table: TableId(1), name: name.into() };
    assert!(matches!(catalog.apply(&rename("quotes")), Err(Error::TableExists(_))));
    let renamed = catalog.apply(&rename("deals")).unwrap();
    assert!(renamed.find("trades").is_none());
    assert_eq!(renamed.get("deals").unwrap().id, TableId(1));
    assert!(with(&renamed, "trades", &options(&[], &[])).is_ok());
    assert_eq!(catalog.get("trades").unwrap().name, "trades", "the old catalog is as it was");
}

#[test]
fn unknown_names_offer_near_ones() {
    let error = sample().get("trade").unwrap_err().to_string();
    assert_eq!(error, "unknown table \"trade\"; there are: trades, quotes");
    let catalog = sample();
    let error = field(catalog.get("trades").unwrap(), "s").unwrap_err();
    let Error::UnknownColumn { known, .. } = error else { panic!("{error}") };
    assert_eq!(known, ["T", "t", "sym", "time"]);
    assert!(tag_position(catalog.get("trades").unwrap(), "sym").is_ok());
}

#[test]
fn limits_hold() {
    let names: Vec<String> = (0..TAG_COUNT_MAX).map(|at| format!("tag{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let catalog = with(&Catalog::default(), "wide", &options(&names, &[])).unwrap();
    let wide = catalog.get("wide").unwrap();
    let more = catalog.apply(&CatalogChange::add_tag(wide, "one more"));
    assert!(matches!(more, Err(Error::OverLimit { .. })));
    let decimal = FieldType::Decimal { precision: 19, scale: 2 };
    assert!(catalog.apply(&CatalogChange::add_field(wide, "d", decimal)).is_err());
    let negative = CatalogChange::SetHistory { table: wide.id, history_ns: -1 };
    assert!(catalog.apply(&negative).is_err());
    let strict = CatalogChange::SetMode { table: wide.id, mode: SchemaMode::Strict };
    assert_eq!(catalog.apply(&strict).unwrap().get("wide").unwrap().mode, SchemaMode::Strict);
}

/// A change that fits, and what it did to the names in plain lists.
type Plain = Vec<(u32, String, Vec<(u32, String)>)>;

fn random_change(random: &SeededRng, catalog: &Catalog, plain: &mut Plain) -> CatalogChange {
    let below = |bound: usize| usize::try_from(random.next_u64()).unwrap() % bound.max(1);
    let fresh = format!("n{}", random.next_u64());
    let at = below(plain.len());
    let kind = if plain.is_empty() { 0 } else { below(7) };
    if kind == 0 {
        let merge = [MergeMode::Append, MergeMode::LastRow, MergeMode::LastNonNull][below(3)];
        let schema = catalog.plan_table(&fresh, &TableOptions { merge, ..options(&["a"], &["b"]) });
        plain.push((schema.id.0, fresh, vec![(1, "a".into()), (2, "b".into())]));
        return CatalogChange::CreateTable(schema);
    }
    let schema = catalog.by_id(TableId(plain[at].0)).unwrap();
    let columns = &mut plain[at].2;
    let column = below(columns.len());
    match kind {
        1 if schema.tags.len() < TAG_COUNT_MAX => {
            columns.push((schema.next_column, fresh.clone()));
            CatalogChange::add_tag(schema, &fresh)
        }
        2 | 1 => {
            columns.push((schema.next_column, fresh.clone()));
            CatalogChange::add_field(schema, &fresh, FieldType::Utf8)
        }
        3 if schema.fields.iter().any(|field| field.id.0 == columns[column].0) => {
            let (id, _) = columns.remove(column);
            CatalogChange::DropField { table: schema.id, column: ColumnId(id) }
        }
        3 | 4 => {
            columns[column].1.clone_from(&fresh);
            let column = ColumnId(columns[column].0);
            CatalogChange::RenameColumn { table: schema.id, column, name: fresh }
        }
        5 => {
            plain[at].1.clone_from(&fresh);
            CatalogChange::RenameTable { table: schema.id, name: fresh }
        }
        _ => {
            let (id, ..) = plain.remove(at);
            CatalogChange::DropTable { table: TableId(id) }
        }
    }
}

#[test]
fn random_changes_agree_with_plain_lists_and_survive_encoding() {
    for seed in 0..10 {
        let random = SeededRng::new(seed);
        let (mut catalog, mut plain) = (Catalog::default(), Plain::new());
        let mut log = Vec::new();
        for _ in 0..300 {
            let change = random_change(&random, &catalog, &mut plain);
            catalog = catalog.apply(&change).unwrap();
            change.encode(&mut log);
            let mut found: Plain = catalog
                .tables()
                .map(|table| {
                    let tags = table.tags.iter().map(|tag| (tag.id.0, tag.name.clone()));
                    let fields = table.fields.iter().map(|field| (field.id.0, field.name.clone()));
                    let mut columns: Vec<_> = tags.chain(fields).collect();
                    columns.sort();
                    (table.id.0, table.name.clone(), columns)
                })
                .collect();
            found.sort();
            plain.iter_mut().for_each(|(_, _, columns)| columns.sort());
            let mut expected = plain.clone();
            expected.sort();
            assert_eq!(found, expected, "seed {seed}");
            let mut names: Vec<&str> = plain.iter().map(|(_, name, _)| name.as_str()).collect();
            names.sort_unstable();
            assert!(catalog.names().eq(names));
        }
        assert_eq!(decoded(&encoded(&catalog)).unwrap(), catalog);
        let mut reader = Reader::new(&log);
        let mut changes = Vec::new();
        while reader.remaining() > 0 {
            changes.push(CatalogChange::decode(&mut reader).unwrap());
        }
        let replayed = Catalog::default().apply_system_all(&changes).unwrap();
        assert_eq!(replayed, catalog, "a replay gives the same numbers");
    }
}

#[test]
fn damaged_bytes_never_panic_and_what_decodes_keeps_the_rules() {
    let bytes = encoded(&sample());
    for len in 0..bytes.len() {
        assert!(decoded(&bytes[..len]).is_none(), "{len}");
    }
    for at in 0..bytes.len() {
        for value in 0..=255 {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            if let Some(catalog) = decoded(&damaged) {
                assert_eq!(encoded(&catalog), damaged, "only what is written is read");
                catalog.tables().for_each(|table| check::table(table).unwrap());
            }
        }
    }
}

#[test]
fn contradictions_on_disk_are_refused() {
    let encode_with = |change: &dyn Fn(&mut Catalog)| {
        let mut catalog = sample();
        change(&mut catalog);
        decoded(&encoded(&catalog))
    };
    assert!(encode_with(&|_| {}).is_some());
    assert!(encode_with(&|catalog| catalog.next_table = 2).is_none(), "a table above the next");
    let rename = |catalog: &mut Catalog, name: &str| {
        let schema = catalog.tables.get_mut(&TableId(2)).unwrap();
        Arc::make_mut(schema).name = name.into();
    };
    assert!(encode_with(&|catalog| rename(catalog, "trades")).is_none(), "two of one name");
    assert!(encode_with(&|catalog| rename(catalog, "")).is_none(), "no name");
    let next = |catalog: &mut Catalog| {
        Arc::make_mut(catalog.tables.get_mut(&TableId(1)).unwrap()).next_column = 2;
    };
    assert!(encode_with(&|catalog| next(catalog)).is_none(), "a column above the next");
    let twice = |catalog: &mut Catalog| {
        let schema = Arc::make_mut(catalog.tables.get_mut(&TableId(1)).unwrap());
        schema.fields[1].id = schema.tags[0].id;
    };
    assert!(encode_with(&|catalog| twice(catalog)).is_none(), "two columns of one number");
}
