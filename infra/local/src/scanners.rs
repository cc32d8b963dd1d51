//! The scanners that this machine can pull: one row each, which links the function of its kind.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::policy::Connector;
use domain::{Check, Scanner};
use futures::future::BoxFuture;
use platform::Services;
use sync::files::{File, Normalize};
use sync::{EngineOptions, HttpOptions, SyncFunction};

/// One kind of scanner.
pub struct Row {
    /// The kind.
    pub scanner: Scanner,
    /// Starts its function.
    start: Start,
    /// Turns its answers into records: a stream's name, or nothing to tell it from the content.
    pub normalize: Normalize,
}

enum Start {
    Pulled(fn(&Services, EngineOptions, HttpOptions) -> SyncFunction),
    Pushed(fn(&Services) -> sync_aws::SyncAws),
}

/// Every kind of scanner.
pub static ROWS: &[Row] = &[
    Row {
        scanner: Scanner::Qualys,
        start: Start::Pulled(sync_qualys::function_with),
        normalize: |stream, reader, emit| sync_qualys::normalize(stream, reader, emit),
    },
    Row {
        scanner: Scanner::Tenable,
        start: Start::Pulled(sync_tenable::function_with),
        normalize: |stream, reader, emit| sync_tenable::normalize(stream, reader, emit),
    },
    Row {
        scanner: Scanner::InsightvmConsole,
        start: Start::Pulled(sync_insightvm_console::function_with),
        normalize: |stream, reader, emit| sync_insightvm_console::normalize(stream, reader, emit),
    },
    Row {
        scanner: Scanner::Nessus,
        start: Start::Pulled(sync_nessus::function_with),
        normalize: |stream, reader, emit| sync_nessus::normalize(stream, reader, emit),
    },
    Row {
        scanner: Scanner::Insightvm,
        start: Start::Pulled(sync_insightvm::function_with),
        normalize: |stream, reader, emit| sync_insightvm::normalize(stream, reader, emit),
    },
    Row {
        scanner: Scanner::Aws,
        start: Start::Pushed(sync_aws::SyncAws::new),
        normalize: |stream, reader, emit| sync_aws::normalize(stream, reader, emit),
    },
];

impl Row {
    /// The row of a kind of scanner.
    pub fn of(scanner: Scanner) -> Option<&'static Self> {
        ROWS.iter().find(|row| row.scanner == scanner)
    }

    /// Its function, started.
    pub fn start(&self, services: &Services, engine: &EngineOptions, http: &HttpOptions) -> Started {
        let function = match self.start {
            Start::Pulled(start) => Function::Pulled(start(services, engine.clone(), http.clone())),
            Start::Pushed(start) => Function::Pushed(Box::new(start(services))),
        };
        Started { scanner: self.scanner, function: Arc::new(function) }
    }
}

impl Row {
    /// Its function for files instead of the scanner; none where nobody reads files.
    pub fn start_with(&self, services: &Services, engine: &EngineOptions, files: Vec<File>) -> Started {
        let function = SyncFunction::of_files(services, self.scanner, engine.clone(), self.normalize, files);
        Started { scanner: self.scanner, function: Arc::new(Function::Pulled(function)) }
    }
}

/// The started function of a scanner.
pub struct Started {
    /// The kind.
    pub scanner: Scanner,
    function: Arc<Function>,
}

enum Function {
    Pulled(SyncFunction),
    Pushed(Box<sync_aws::SyncAws>),
}

impl Started {
    /// What works its queue.
    pub fn handler(&self) -> crate::aws::Handler {
        let function = self.function.clone();
        Arc::new(move |event: SqsEvent| -> BoxFuture<'static, Result<SqsBatchResponse, String>> {
            let function = function.clone();
            Box::pin(async move {
                Ok(match &*function {
                    Function::Pulled(function) => function.handle(event).await,
                    Function::Pushed(function) => function.handle(event).await,
                })
            })
        })
    }

    /// Tries a connector out. `None` where its findings arrive as events or in files: there is nobody to ask.
    pub async fn check(&self, connector: &Connector) -> Option<Check> {
        match &*self.function {
            Function::Pulled(function) if connector.is_pulled() => Some(function.check(connector).await),
            _ => None,
        }
    }
}
