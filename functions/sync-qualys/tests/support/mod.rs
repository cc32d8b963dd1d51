//! A server that answers by script, and how a run is worked.

#![allow(dead_code)]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use domain::RunId;
use domain::policy::{Auth, Connector, Seconds};
pub use recorder::{NOW, Recorder, time};
use secrecy::SecretString;
use sync::{HttpClient, HttpOptions, Mode, Next, Proof, Run, Scanner, SyncError};
use sync_qualys::QualysScanner;

#[derive(Debug, Clone)]
pub struct Call {
    pub base: String,
    pub method: String,
    pub path: String,
    pub query: String,
    pub form: BTreeMap<String, String>,
    pub body: String,
    pub headers: HeaderMap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Hosts,
    Detections,
    KnowledgeBase,
    HostIds,
    Groups,
    Tags,
    Assets,
    Policies,
    Posture,
    Auth,
    GlobalAssets,
    About,
}

impl Call {
    pub fn form(&self, key: &str) -> &str {
        self.form.get(key).map_or("", String::as_str)
    }

    pub fn header(&self, key: &str) -> &str {
        self.headers.get(key).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub fn endpoint(&self) -> Endpoint {
        match self.path.split('/').skip(3).collect::<Vec<_>>().join("/").as_str() {
            "fo/asset/host/" if self.form("details") == "None" => Endpoint::HostIds,
            "fo/asset/host/" => Endpoint::Hosts,
            "fo/asset/group/" => Endpoint::Groups,
            "fo/compliance/policy/" => Endpoint::Policies,
            "fo/compliance/posture/info/" => Endpoint::Posture,
            _ if self.path == "/qps/rest/2.0/search/am/tag" => Endpoint::Tags,
            _ if self.path == "/qps/rest/2.0/search/am/hostasset" => Endpoint::Assets,
            _ if self.path == "/gateway/auth" => Endpoint::Auth,
            _ if self.path == "/gateway/am/v1/assets/host/list" => Endpoint::GlobalAssets,
            "fo/asset/host/vm/detection/" => Endpoint::Detections,
            "fo/knowledge_base/vuln/" => Endpoint::KnowledgeBase,
            _ if self.path == "/msp/about.php" => Endpoint::About,
            other => panic!("unknown endpoint {other}"),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Reply {
    pub fn with(mut self, header: &'static str, value: &str) -> Self {
        self.headers.push((header, value.to_owned()));
        self
    }
}

pub fn ok(body: &str) -> Reply {
    Reply { status: 200, headers: vec![], body: body.to_owned() }
}

pub fn words(status: u16, code: u32, text: &str, items: &str) -> Reply {
    let body = format!(
        "<?xml version=\"1.0\"?><!DOCTYPE SIMPLE_RETURN SYSTEM \"https://q.example/simple_return.dtd\"><SIMPLE_RETURN><RESPONSE>
        <DATETIME>{NOW}</DATETIME><CODE>{code}</CODE><TEXT>{text}</TEXT><ITEM_LIST>{items}</ITEM_LIST></RESPONSE></SIMPLE_RETURN>"
    );
    Reply { status, ..ok(&body) }
}

fn page(root: &str, list: &str, next: Option<&str>) -> Reply {
    let warning = next.map_or(String::new(), |url| {
        format!("<WARNING><CODE>1980</CODE><TEXT>1000 record limit exceeded.</TEXT><URL><![CDATA[{url}]]></URL></WARNING>")
    });
    ok(&format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<!DOCTYPE {root} SYSTEM \"https://q.example/{root}.dtd\">
        <{root}><RESPONSE><DATETIME>{NOW}</DATETIME>{list}{warning}</RESPONSE></{root}>\n<!-- CONFIDENTIAL //-->\n"
    ))
}

pub fn empty(root: &str) -> Reply {
    page(root, "", None)
}

pub fn hosts_page(hosts: &[String], next: Option<&str>) -> Reply {
    page("HOST_LIST_OUTPUT", &format!("<HOST_LIST>{}</HOST_LIST>", hosts.concat()), next)
}

pub fn detections_page(hosts: &[String], next: Option<&str>) -> Reply {
    page("HOST_LIST_VM_DETECTION_OUTPUT", &format!("<HOST_LIST>{}</HOST_LIST>", hosts.concat()), next)
}

pub fn ids_page(ids: &str) -> Reply {
    page("HOST_LIST_OUTPUT", &format!("<ID_SET>{ids}</ID_SET>"), None)
}

pub fn groups_page(groups: &[(u64, &str)]) -> Reply {
    let list: String = groups
        .iter()
        .map(|(id, title)| {
            format!("<ASSET_GROUP><ID>{id}</ID><TITLE><![CDATA[{title}]]></TITLE></ASSET_GROUP>")
        })
        .collect();
    page("ASSET_GROUP_LIST_OUTPUT", &format!("<ASSET_GROUP_LIST>{list}</ASSET_GROUP_LIST>"), None)
}

/// A page of a search: its records, and where it goes on.
pub fn search_page(records: &str, last: Option<u64>) -> Reply {
    let more = match last {
        Some(last) => format!("<hasMoreRecords>true</hasMoreRecords><lastId>{last}</lastId>"),
        None => "<hasMoreRecords>false</hasMoreRecords>".to_owned(),
    };
    ok(&format!(
        "<?xml version=\"1.0\"?><ServiceResponse><responseCode>SUCCESS</responseCode><count>1</count>{more}<data>{records}</data></ServiceResponse>"
    ))
}

pub fn asset_xml(id: u64, host: u64) -> String {
    format!(
        "<HostAsset><id>{id}</id><qwebHostId>{host}</qwebHostId><software><list><HostAssetSoftware><name>sudo</name>\
         <version>1.9</version></HostAssetSoftware></list></software></HostAsset>"
    )
}

pub fn policies_page(policies: &[(u64, &str)]) -> Reply {
    let list: String = policies
        .iter()
        .map(|(id, title)| format!("<POLICY><ID>{id}</ID><TITLE>{title}</TITLE></POLICY>"))
        .collect();
    page("POLICY_LIST_OUTPUT", &format!("<POLICY_LIST>{list}</POLICY_LIST>"), None)
}

pub fn posture_xml(host: u64, control: u64, status: &str) -> String {
    format!(
        "<INFO><ID>{host}{control}</ID><HOST_ID>{host}</HOST_ID><CONTROL_ID>{control}</CONTROL_ID>\
         <TECHNOLOGY_ID>1</TECHNOLOGY_ID><STATUS>{status}</STATUS></INFO>"
    )
}

pub fn posture_page(infos: &[String], controls: &[u64], next: Option<&str>) -> Reply {
    let warning = next.map_or(String::new(), |url| {
        format!("<WARNING_LIST><WARNING><CODE>1980</CODE><TEXT>more</TEXT><URL><![CDATA[{url}]]></URL></WARNING></WARNING_LIST>")
    });
    let controls: String = controls
        .iter()
        .map(|id| {
            format!(
                "<CONTROL><ID>{id}</ID><STATEMENT>Control {id} holds</STATEMENT><CRITICALITY><LABEL>SERIOUS</LABEL>\
                 <VALUE>3</VALUE></CRITICALITY></CONTROL>"
            )
        })
        .collect();
    page(
        "POSTURE_INFO_LIST_OUTPUT",
        &format!(
            "<INFO_LIST>{}</INFO_LIST>{warning}<GLOSSARY><HOST_LIST><HOST><ID>1</ID><IP>10.0.0.1</IP><DNS>h1</DNS></HOST></HOST_LIST>\
             <CONTROL_LIST>{controls}</CONTROL_LIST><TECHNOLOGY_LIST><TECHNOLOGY><ID>1</ID><NAME>Linux</NAME></TECHNOLOGY>\
             </TECHNOLOGY_LIST></GLOSSARY>",
            infos.concat()
        ),
        None,
    )
}

pub fn kb_page<'a>(qids: impl Iterator<Item = &'a str>) -> Reply {
    let list: String = qids
        .map(|qid| format!("<!-- keep-alive --><VULN><QID>{qid}</QID><TITLE>T{qid}</TITLE></VULN>"))
        .collect();
    page("KNOWLEDGE_BASE_VULN_LIST_OUTPUT", &format!("<VULN_LIST>{list}</VULN_LIST>"), None)
}

pub fn host_xml(id: u64, detections: &str) -> String {
    format!("<HOST><ID>{id}</ID><IP>10.0.0.{id}</IP><DETECTION_LIST>{detections}</DETECTION_LIST></HOST>")
}

pub fn detection_xml(qid: u64, status: &str) -> String {
    format!(
        "<DETECTION><QID>{qid}</QID><TYPE>Confirmed</TYPE><SEVERITY>4</SEVERITY><STATUS>{status}</STATUS></DETECTION>"
    )
}

pub struct Server {
    pub base: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Server {
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

pub async fn serve(answer: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
    let (memory, origin, answer) = (calls.clone(), base.clone(), Arc::new(answer));
    let handler = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
        let (memory, base, answer) = (memory.clone(), origin.clone(), answer.clone());
        async move {
            let text = String::from_utf8_lossy(&body).into_owned();
            let call = Call {
                base,
                method: method.to_string(),
                path: uri.path().to_owned(),
                query: uri.query().unwrap_or("").to_owned(),
                form: text
                    .split('&')
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(k, v)| (k.to_owned(), decode(v)))
                    .collect(),
                body: text.clone(),
                headers,
            };
            let reply = answer(&call);
            memory.lock().unwrap().push(call);
            let mut response: Response =
                (StatusCode::from_u16(reply.status).unwrap(), reply.body).into_response();
            for (name, value) in reply.headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(handler)).await });
    Server { base, calls }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

pub fn connector(base_url: &str, streams: &[&str], page_size: u32) -> Connector {
    Connector {
        name: "qualys-test".parse().unwrap(),
        scanner: domain::Scanner::Qualys,
        base_url: base_url.to_owned(),
        gateway_url: None,
        api_versions: Default::default(),
        auth: Auth::Basic { username: "user".into(), password: "${PASSWORD}".into(), token: None },
        data_streams: streams.iter().map(|s| (*s).to_owned()).collect(),
        sync_interval: Seconds::hour(),
        full_interval: Seconds::week(),
        scan_cadence: Seconds::month(),
        scope: "default".into(),
        max_concurrency: None,
        close_limit_percent: 30,
        via: None,
        page_size: Some(page_size),
        allow_private_address: true,
        tls: domain::policy::Tls::default(),
    }
}

pub fn http(base_url: &str) -> HttpClient {
    let options = HttpOptions {
        allow_private_address: true,
        retry_pause: Duration::from_millis(1),
        read_timeout: Duration::from_secs(10),
        ..HttpOptions::default()
    };
    HttpClient::new("qualys-test", base_url, &options).unwrap()
}

pub fn scanner(server: &Server, streams: &[&str]) -> QualysScanner {
    let http = http(&server.base).with_basic("user", "secret").unwrap();
    QualysScanner::new(&connector(&server.base, streams, 500), http, None).unwrap()
}

/// A scanner that knows the gateway at this address.
pub fn scanner_with_gateway(server: &Server, gateway: &str, streams: &[&str]) -> QualysScanner {
    let http = http(&server.base).with_basic("user", "secret").unwrap();
    let connector =
        Connector { gateway_url: Some(gateway.to_owned()), ..connector(&server.base, streams, 500) };
    let login = (SecretString::from("user"), SecretString::from("secret"));
    QualysScanner::new(&connector, http, Some(login)).unwrap()
}

pub fn run(mode: Mode) -> Run {
    Run::new("qualys-test".parse().unwrap(), RunId::new(time(NOW), 1), mode, time(NOW))
}

pub fn full_run() -> Run {
    run(Mode::Full)
}

/// Works a run to its end, one unit after the other, waiting by moving the clock. Answers each unit's proof.
pub async fn drive(
    scanner: &QualysScanner,
    run: &Run,
    sink: &mut Recorder,
) -> Result<Vec<(String, Proof)>, SyncError> {
    let mut units: VecDeque<_> = scanner.plan(run).await?.into();
    let mut done = Vec::new();
    for _ in 0..500 {
        let Some(unit) = units.pop_front() else { return Ok(done) };
        match scanner.pull(run, &unit, sink).await? {
            Next::Done(proof) => done.push((unit.id, proof)),
            Next::More(more, proof) => {
                for next in more.into_iter().rev() {
                    units.push_front(next);
                }
                done.push((unit.id, proof));
            }
            Next::Later(at, unit) => {
                sink.now = at;
                units.push_front(unit);
            }
        }
    }
    panic!("the run has no end: {done:?}");
}
