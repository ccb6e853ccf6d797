//! DataFusion's names for what a snapshot holds: one catalog; the users' tables in its schema `public`, the system's schemas beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chronolith_engine::catalog::SYSTEM_TABLE_PREFIX;
use chronolith_engine::snapshot::Snapshot;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::Result as DataFusionResult;

use crate::control::Control;
use crate::files::{FILES, FileTables};
use crate::session::SqlEngine;
use crate::system;
use crate::table::EngineTable;

/// The catalog's name.
pub(crate) const CATALOG: &str = "chronolith";
/// The schema of the users' tables.
pub(crate) const PUBLIC: &str = "public";

/// The one catalog, as DataFusion's list of them.
#[derive(Debug)]
pub(crate) struct EngineCatalogs(Arc<EngineCatalog>);

#[derive(Debug)]
struct EngineCatalog {
    schemas: BTreeMap<&'static str, Arc<dyn SchemaProvider>>,
}

impl EngineCatalogs {
    /// What `snapshot` holds, and the files that the statement reads.
    pub(crate) fn new(
        engine: &SqlEngine,
        snapshot: &Snapshot,
        control: &Arc<Control>,
        with_sequence: &Arc<AtomicBool>,
        files: &Arc<FileTables>,
    ) -> Self {
        let public = EngineSchema {
            snapshot: snapshot.clone(),
            control: Arc::clone(control),
            with_sequence: Arc::clone(with_sequence),
        };
        let mut schemas: BTreeMap<_, Arc<dyn SchemaProvider>> =
            system::schemas(engine, snapshot).into_iter().collect();
        schemas.insert(PUBLIC, Arc::new(public));
        schemas.insert(FILES, Arc::clone(files) as _);
        Self(Arc::new(EngineCatalog { schemas }))
    }
}

impl CatalogProviderList for EngineCatalogs {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == CATALOG).then(|| Arc::clone(&self.0) as _)
    }
}

impl CatalogProvider for EngineCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.schemas.keys().map(|name| (*name).to_owned()).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.schemas.get(name).cloned()
    }
}

/// The users' tables of a snapshot.
struct EngineSchema {
    snapshot: Snapshot,
    control: Arc<Control>,
    /// Whether the statement names `_seq`.
    with_sequence: Arc<AtomicBool>,
}

impl std::fmt::Debug for EngineSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EngineSchema at {}", self.snapshot.sequence())
    }
}

#[async_trait]
impl SchemaProvider for EngineSchema {
    fn table_names(&self) -> Vec<String> {
        let names = self.snapshot.catalog().names();
        names.filter(|name| !name.starts_with(SYSTEM_TABLE_PREFIX)).map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        let Ok(schema) = self.snapshot.table(name) else { return Ok(None) };
        let control = Arc::clone(&self.control);
        let with_sequence = self.with_sequence.load(Ordering::Acquire);
        let table = EngineTable::new(self.snapshot.clone(), schema, control, with_sequence);
        Ok(Some(Arc::new(table)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.snapshot.table(name).is_ok()
    }
}
