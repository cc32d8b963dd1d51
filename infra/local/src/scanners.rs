//! The scanners that this machine can pull: one row each, which links the function of its kind.

use std::io::Read;
use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use domain::policy::Connector;
use domain::{Check, Scanner};
use futures::future::BoxFuture;
use platform::Services;
use sync::{EngineOptions, HttpOptions, NormalizeError, Normalized, Summary, SyncFunction};

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

/// A scanner's pure reader of its own answers.
pub type Normalize = fn(&str, Box<dyn Read>, &mut dyn FnMut(Normalized)) -> Result<Summary, NormalizeError>;

/// Every kind of scanner.
pub const ROWS: [Row; 5] = [
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
        scanner: Scanner::Aws,
        start: Start::Pushed(sync_aws::SyncAws::new),
        normalize: |stream, reader, emit| sync_aws::normalize(stream, reader, emit),
    },
];

impl Row {
    /// The row of a kind of scanner.
    pub fn of(scanner: Scanner) -> Option<&'static Self> {
        const { &ROWS }.iter().find(|row| row.scanner == scanner)
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

    /// Tries a connector out. `None` where its findings arrive as events: there is nobody to ask.
    pub async fn check(&self, connector: &Connector) -> Option<Check> {
        match &*self.function {
            Function::Pulled(function) => Some(function.check(connector).await),
            Function::Pushed(_) => None,
        }
    }
}
