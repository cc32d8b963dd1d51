//! What goes wrong at which step. A step is a call that a function makes to the outside: a request of the AWS SDK, or
//! an HTTP request to a simulated system. Steps are counted while a function runs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lambda_events::sqs::SqsEvent;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use simulators::World;
use tokio::sync::oneshot;
use vulnrelay::aws::Handler;
use vulnrelay::stack::Around;

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The function dies before the request leaves.
    KillBefore,
    /// The function dies after the request was carried out.
    KillAfter,
    /// The request is refused because there were too many.
    Throttle,
    /// The request is carried out, then comes an error in place of its answer.
    Lost,
    /// The request is carried out, then the connection ends.
    Broken,
}

/// A step that a fault has struck.
#[derive(Debug, Clone)]
pub struct Struck {
    /// Its number.
    pub step: usize,
    /// What was called.
    pub what: String,
    /// On behalf of which function.
    pub function: String,
    /// What the function called before.
    pub before: String,
    /// What happened.
    pub fault: Fault,
}

/// The plan, and how far it has come.
#[derive(Debug, Default)]
pub struct Plan {
    faults: BTreeMap<usize, Fault>,
    twice: BTreeSet<usize>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    function: Option<String>,
    kill: Option<oneshot::Sender<()>>,
    steps: usize,
    deliveries: Vec<String>,
    before: String,
    /// Calls of the SDK all of whose attempts meet the same.
    calls: HashMap<String, Fault>,
    struck: Vec<Struck>,
    log: Vec<(String, String)>,
    bodies: Vec<(String, String)>,
}

impl Plan {
    /// These faults at these steps.
    pub fn new(faults: impl IntoIterator<Item = (usize, Fault)>) -> Arc<Self> {
        Arc::new(Self { faults: faults.into_iter().collect(), ..Self::default() })
    }

    /// These deliveries happen twice in a row, in the order of the run.
    pub fn repeating(deliveries: impl IntoIterator<Item = usize>) -> Arc<Self> {
        Arc::new(Self { twice: deliveries.into_iter().collect(), ..Self::default() })
    }

    /// Steps so far.
    pub fn steps(&self) -> usize {
        self.lock().steps
    }

    /// Deliveries so far.
    pub fn deliveries(&self) -> usize {
        self.lock().deliveries.len()
    }

    /// The function of each delivery.
    pub fn functions(&self) -> Vec<String> {
        self.lock().deliveries.clone()
    }

    /// What was struck.
    pub fn struck(&self) -> Vec<Struck> {
        self.lock().struck.clone()
    }

    /// Function and call of each step.
    pub fn log(&self) -> Vec<(String, String)> {
        self.lock().log.clone()
    }

    /// Queue and body of every message that was delivered.
    pub fn delivered(&self) -> Vec<(String, String)> {
        self.lock().bodies.clone()
    }

    /// What was struck, for people.
    pub fn story(&self) -> String {
        self.struck()
            .iter()
            .map(|s| {
                format!(
                    "\n  step {} {:?} in {}: {} (after {})",
                    s.step, s.fault, s.function, s.what, s.before
                )
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a step; says what happens at it.
    fn step(&self, what: &str, call: Option<&str>) -> Option<Fault> {
        let mut state = self.lock();
        let function = state.function.clone()?;
        let step = state.steps;
        state.steps += 1;
        state.log.push((function.clone(), what.to_owned()));
        let before = std::mem::replace(&mut state.before, what.to_owned());
        if let Some(fault) = call.and_then(|call| state.calls.get(call)) {
            return Some(*fault);
        }
        let fault = *self.faults.get(&step)?;
        state.struck.push(Struck { step, what: what.to_owned(), function, before, fault });
        // By turns one attempt of a call and all of them: what the SDK repeats, and what it gives up.
        if step % 2 == 1
            && let (Some(call), Fault::Throttle | Fault::Lost) = (call, fault)
        {
            state.calls.insert(call.to_owned(), fault);
        }
        Some(fault)
    }

    /// Ends the function at work, and never returns to it.
    async fn kill<T>(&self) -> T {
        if let Some(kill) = self.lock().kill.take() {
            let _ = kill.send(());
        }
        std::future::pending().await
    }

    fn begin(&self, queue: &str, event: &SqsEvent) -> (oneshot::Receiver<()>, bool) {
        let (kill, killed) = oneshot::channel();
        let mut state = self.lock();
        state.function = Some(queue.to_owned());
        state.kill = Some(kill);
        state.before.clear();
        let delivery = state.deliveries.len();
        state.deliveries.push(queue.to_owned());
        for record in &event.records {
            state.bodies.push((queue.to_owned(), record.body.clone().unwrap_or_default()));
        }
        let twice = self.twice.contains(&delivery);
        (killed, twice)
    }

    fn end(&self) {
        let mut state = self.lock();
        (state.function, state.kill) = (None, None);
    }

    /// Wraps each function: it can be killed, and called twice.
    pub fn around(self: &Arc<Self>) -> Around {
        let plan = self.clone();
        Arc::new(move |queue, handler| {
            let (plan, queue) = (plan.clone(), queue.to_owned());
            let wrapped: Handler = Arc::new(move |event: SqsEvent| {
                let (plan, queue, handler) = (plan.clone(), queue.clone(), handler.clone());
                Box::pin(async move {
                    let (killed, twice) = plan.begin(&queue, &event);
                    let outcome = tokio::select! {
                        biased;
                        Ok(()) = killed => Err("killed".to_owned()),
                        outcome = handler(event.clone()) => outcome,
                    };
                    let outcome = if twice && outcome.is_ok() { handler(event).await } else { outcome };
                    plan.end();
                    outcome
                })
            });
            wrapped
        })
    }

    /// The SDK's way to the endpoints, through this plan.
    pub fn connector(self: &Arc<Self>) -> SharedHttpClient {
        use aws_smithy_runtime_api::client::http::HttpClient;
        let (plan, inner) = (self.clone(), aws_smithy_http_client::Builder::new().build_http());
        http_client_fn(move |settings, components| {
            let inner = inner.http_connector(settings, components);
            SharedHttpConnector::new(Connector { plan: plan.clone(), inner })
        })
    }

    /// The simulated systems, behind this plan.
    pub fn stand_before(self: &Arc<Self>, routes: Router, world: &Arc<World>) -> Router {
        routes.layer(from_fn_with_state((self.clone(), world.clone()), outside))
    }
}

#[derive(Debug, Clone)]
struct Connector {
    plan: Arc<Plan>,
    inner: SharedHttpConnector,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self { plan, inner } = self.clone();
        HttpConnectorFuture::new(async move {
            let header = |name: &str| request.headers().get(name).unwrap_or_default().to_owned();
            let (target, call) = (header("x-amz-target"), header("amz-sdk-invocation-id"));
            let what = format!("{} {}", target.rsplit('.').next().unwrap_or_default(), key(request.body()));
            match plan.step(&what, Some(&call)) {
                None => inner.call(request).await,
                Some(Fault::KillBefore) => plan.kill().await,
                Some(Fault::KillAfter) => {
                    let _ = inner.call(request).await;
                    plan.kill().await
                }
                Some(Fault::Throttle) => Ok(refusal(&target, 400, "ThrottlingException")),
                Some(Fault::Lost) => {
                    let _ = inner.call(request).await;
                    Ok(refusal(&target, 500, "InternalServerError"))
                }
                Some(Fault::Broken) => {
                    let _ = inner.call(request).await;
                    Err(ConnectorError::io("the connection was lost".into()))
                }
            }
        })
    }
}

/// An error as AWS words it; the SDK repeats the request at once.
fn refusal(target: &str, status: u16, code: &str) -> HttpResponse {
    let service = target.split('.').next().unwrap_or_default();
    let body =
        serde_json::json!({ "__type": format!("com.amazonaws.{service}#{code}"), "message": "simulated" });
    let mut answer =
        HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body.to_string()));
    answer.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    answer.headers_mut().insert("x-amz-retry-after", "1");
    answer
}

/// The first key that a request names.
fn key(body: &SdkBody) -> String {
    let text = String::from_utf8_lossy(body.bytes().unwrap_or_default()).into_owned();
    let value = |name: &str| {
        let (_, rest) = text.split_once(&format!("\"{name}\":{{\"S\":\""))?;
        rest.split('"').next().map(str::to_owned)
    };
    match (value("pk").or_else(|| value(":p")), value("sk")) {
        (Some(pk), Some(sk)) => format!("{pk} {sk}"),
        (Some(pk), None) => pk,
        _ => text.chars().take(120).collect(),
    }
}

async fn outside(
    Shared((plan, world)): Shared<(Arc<Plan>, Arc<World>)>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    if path.contains("/control") {
        return next.run(request).await;
    }
    let system = path.split('/').nth(1).unwrap_or_default().to_owned();
    match plan.step(&format!("{} {path}", request.method()), None) {
        None => next.run(request).await,
        Some(Fault::KillBefore) => plan.kill().await,
        Some(Fault::KillAfter) => {
            drop(next.run(request).await);
            plan.kill().await
        }
        Some(Fault::Throttle) => simulators::faults::rate_limited(&world, &system),
        Some(Fault::Lost | Fault::Broken) => {
            drop(next.run(request).await);
            // Ends the task of this connection, and with it the connection, without a word to the panic hook.
            std::panic::resume_unwind(Box::new("connection lost"))
        }
    }
}
