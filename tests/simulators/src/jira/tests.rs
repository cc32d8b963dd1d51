use std::time::Duration;

use axum::body::to_bytes;

use super::*;
use crate::Options;

fn site() -> Arc<Jira> {
    let world = World::new(Options::new(7, 5, "2026-09-01T00:00:00Z".parse().unwrap()));
    Arc::new(Jira::new(world))
}

fn caller() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = format!("Basic {}", STANDARD.encode(format!("{EMAIL}:{TOKEN}")));
    headers.insert(header::AUTHORIZATION, value.parse().unwrap());
    headers
}

fn bytes(body: &Value) -> Bytes {
    Bytes::from(body.to_string())
}

async fn read_all(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn doc(text: &str) -> Value {
    let words = json!({ "type": "text", "text": text });
    json!({ "type": "doc", "version": 1, "content": [{ "type": "paragraph", "content": [words] }] })
}

fn new_issue(summary: &str) -> Value {
    json!({
        "fields": {
            "project": { "key": "SEC" },
            "issuetype": { "name": "Bug" },
            "summary": summary,
            "description": doc("Update OpenSSH."),
            "labels": ["vulnrelay", "vh-0a1b"],
            "priority": { "name": "High" },
            "duedate": "2026-09-30",
        },
        "properties": [{ "key": "vulnrelay", "value": { "key": "abc" } }],
    })
}

async fn post_issue(jira: &Arc<Jira>, body: &Value) -> (u16, Value) {
    read_all(create(State(jira.clone()), caller(), bytes(body)).await).await
}

async fn find(jira: &Arc<Jira>, body: Value) -> (u16, Value) {
    read_all(search_by_body(State(jira.clone()), caller(), bytes(&body)).await).await
}

fn by_label() -> Value {
    json!({ "jql": "project = SEC AND labels = \"vh-0a1b\"", "fields": ["summary", "status"] })
}

async fn no_lag(jira: &Arc<Jira>) {
    let _ = set_lag(State(jira.clone()), Query(Lag { ms: 0 })).await;
}

fn path(name: &str) -> Path<String> {
    Path(name.to_owned())
}

#[tokio::test]
async fn a_created_issue_can_be_read_and_is_a_ticket() {
    let jira = site();
    jira.world.set_base_url("http://sim");
    let (status, created) = post_issue(&jira, &new_issue("OpenSSH on web-1")).await;
    assert_eq!(status, 201);
    let this = "http://sim/jira/rest/api/3/issue/10001";
    assert_eq!(created, json!({ "id": "10001", "key": "SEC-1", "self": this }));
    for name in ["SEC-1", "sec-1", "10001"] {
        let (status, issue) =
            read_all(read(State(jira.clone()), caller(), path(name), RawQuery(None)).await).await;
        assert_eq!((status, &issue["key"]), (200, &json!("SEC-1")));
        assert_eq!(issue["fields"]["status"]["statusCategory"]["key"], "new");
        assert_eq!(issue["fields"]["description"], doc("Update OpenSSH."));
        assert_eq!(issue["fields"]["issuetype"]["name"], "Bug");
        assert_eq!(issue["fields"]["created"], "2026-09-01T00:00:00.000+0000");
    }
    let query = RawQuery(Some("fields=summary,labels&properties=vulnrelay".to_owned()));
    let (_, issue) = read_all(read(State(jira.clone()), caller(), path("SEC-1"), query).await).await;
    assert_eq!(issue["fields"], json!({ "summary": "OpenSSH on web-1", "labels": ["vulnrelay", "vh-0a1b"] }));
    assert_eq!(issue["properties"], json!({ "vulnrelay": { "key": "abc" } }));
    let ticket = &jira.world.received.tickets()[0];
    for (name, value) in [
        ("key", json!("SEC-1")),
        ("project", json!("SEC")),
        ("issuetype", json!("Bug")),
        ("description", json!("Update OpenSSH.")),
        ("status", json!("To Do")),
        ("comments", json!([])),
    ] {
        assert_eq!(ticket[name], value, "{name}");
    }
    let (status, _) = read_all(read(State(jira), caller(), path("SEC-2"), RawQuery(None)).await).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_stranger_is_refused_or_sees_nothing() {
    let jira = site();
    no_lag(&jira).await;
    post_issue(&jira, &new_issue("OpenSSH on web-1")).await;
    let stranger = HeaderMap::new;
    for (anonymous, seen) in [(false, [401, 401, 401, 401]), (true, [404, 200, 401, 401])] {
        let _ = set_strangers(State(jira.clone()), Query(Strangers { anonymous, told: true })).await;
        let answers = [
            read(State(jira.clone()), stranger(), path("SEC-1"), RawQuery(None)).await,
            search_by_body(State(jira.clone()), stranger(), bytes(&by_label())).await,
            create(State(jira.clone()), stranger(), bytes(&new_issue("x"))).await,
            myself(State(jira.clone()), stranger()).await,
        ];
        assert_eq!(answers.each_ref().map(|answer| answer.status().as_u16()), seen);
        for answer in answers {
            assert_eq!(answer.headers()[LOGIN_REASON], FAILED);
            assert!(read_all(answer).await.1["issues"].as_array().is_none_or(Vec::is_empty));
        }
    }
    assert_eq!(find(&jira, by_label()).await.1["issues"].as_array().unwrap().len(), 1, "others see it");
}

#[tokio::test]
async fn wrong_fields_are_refused_by_name() {
    let jira = site();
    for (field, value, words) in [
        ("project", json!({ "key": "NOPE" }), "Specify a valid project ID or key"),
        ("issuetype", json!({ "name": "Nope" }), "Specify a valid issue type"),
        ("summary", json!(""), "You must specify a summary of the issue."),
        ("summary", json!("a\nb"), "The summary is invalid because it contains newline characters."),
        ("summary", json!("x".repeat(256)), "Summary must be less than 255 characters."),
        ("labels", json!(["a b"]), "The label 'a b' contains spaces which is invalid."),
        ("priority", json!({ "name": "P1" }), "The priority selected is invalid."),
        ("duedate", json!("soon"), "Error parsing date string: soon"),
        (
            "nofield",
            json!(1),
            "Field 'nofield' cannot be set. It is not on the appropriate screen, or unknown.",
        ),
    ] {
        let mut body = new_issue("x");
        body["fields"][field] = value;
        let (status, answer) = post_issue(&jira, &body).await;
        assert_eq!((status, &answer["errors"][field]), (400, &json!(words)), "{field}");
    }
    let mut body = new_issue("x");
    body["fields"]["description"] = json!("plain text");
    let (_, answer) = post_issue(&jira, &body).await;
    assert!(answer["errors"]["description"].as_str().unwrap().contains("Atlassian Document"));
    body["fields"]["description"] = doc("");
    assert_eq!(post_issue(&jira, &body).await.1["errorMessages"], json!(["INVALID_INPUT"]));
    let (status, answer) =
        read_all(create(State(jira.clone()), caller(), Bytes::from_static(b"{")).await).await;
    assert_eq!(status, 400);
    assert!(answer["errorMessages"][0].as_str().unwrap().contains("parsing JSON"));
    assert!(jira.world.received.tickets().is_empty());
    assert!(jira.world.received.refused().len() >= 12);
    assert_eq!(post_issue(&jira, &new_issue(&"x".repeat(255))).await.0, 201);
}

#[tokio::test]
async fn strangers_are_sent_away() {
    let jira = site();
    let mut wrong = HeaderMap::new();
    wrong.insert(header::AUTHORIZATION, "Bearer sim-token".parse().unwrap());
    for headers in [HeaderMap::new(), wrong] {
        let answer = myself(State(jira.clone()), headers).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers()["x-seraph-loginreason"], "AUTHENTICATED_FAILED");
    }
    let (status, user) = read_all(myself(State(jira.clone()), caller()).await).await;
    assert_eq!((status, &user["emailAddress"]), (200, &json!(EMAIL)));
    let (_, found) = read_all(project(State(jira.clone()), caller(), path("SEC")).await).await;
    assert_eq!(found["issueTypes"].as_array().unwrap().len(), ISSUE_TYPES.len());
    assert_eq!(project(State(jira), caller(), path("NOPE")).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn search_lags_behind_unless_reconciled() {
    let jira = site();
    let _ = set_lag(State(jira.clone()), Query(Lag { ms: 150 })).await;
    post_issue(&jira, &new_issue("x")).await;
    assert_eq!(find(&jira, by_label()).await.1, json!({ "issues": [], "isLast": true }));
    let mut now = by_label();
    now["reconcileIssues"] = json!([10001]);
    assert_eq!(find(&jira, now).await.1["issues"].as_array().unwrap().len(), 1);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (_, found) = find(&jira, by_label()).await;
    assert_eq!(found["issues"][0]["fields"]["status"]["name"], "To Do");
    assert!(found["issues"][0]["fields"].get("labels").is_none());
    // The old state stays in force until the new one is indexed.
    let step = bytes(&json!({ "transition": { "id": "31" } }));
    transition(State(jira.clone()), caller(), path("SEC-1"), step).await;
    assert_eq!(find(&jira, by_label()).await.1["issues"][0]["fields"]["status"]["name"], "To Do");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(find(&jira, by_label()).await.1["issues"][0]["fields"]["status"]["name"], "Done");
}

#[tokio::test]
async fn search_pages_to_the_end_and_shows_ids_unless_asked() {
    let jira = site();
    no_lag(&jira).await;
    for number in 0..5 {
        post_issue(&jira, &new_issue(&format!("issue {number}"))).await;
    }
    let jql = "labels = vh-0a1b ORDER BY key ASC";
    let mut ids = Vec::new();
    let mut query = json!({ "jql": jql, "maxResults": 2 });
    loop {
        let (status, page) = find(&jira, query.clone()).await;
        assert_eq!(status, 200);
        for issue in page["issues"].as_array().unwrap() {
            assert_eq!(issue.as_object().unwrap().len(), 1);
            ids.push(issue["id"].as_str().unwrap().to_owned());
        }
        if page["isLast"] == true {
            assert!(page.get("nextPageToken").is_none());
            break;
        }
        query["nextPageToken"] = page["nextPageToken"].clone();
    }
    assert_eq!(ids, ["10001", "10002", "10003", "10004", "10005"]);
    query["jql"] = json!("project = SEC");
    assert_eq!(find(&jira, query).await.0, 400);
    let raw = "jql=project+%3D+SEC&fields=key&maxResults=1";
    let answer = search_by_query(State(jira.clone()), caller(), RawQuery(Some(raw.to_owned()))).await;
    let (_, page) = read_all(answer).await;
    assert_eq!((&page["issues"][0]["key"], page["issues"][0].get("fields")), (&json!("SEC-5"), None));
    for wrong in [json!({ "jql": "" }), json!({ "jql": "order by created" }), json!({ "query": "x" })] {
        assert_eq!(find(&jira, wrong).await.0, 400);
    }
    assert_eq!(gone(State(jira), caller()).await.status(), StatusCode::GONE);
}

#[tokio::test]
async fn an_issue_walks_the_workflow_and_is_commented() {
    let jira = site();
    post_issue(&jira, &new_issue("x")).await;
    let (_, steps) = read_all(transitions(State(jira.clone()), caller(), path("SEC-1")).await).await;
    let done = steps["transitions"].as_array().unwrap().iter();
    let done = done.filter(|step| step["to"]["statusCategory"]["key"] == "done").collect::<Vec<_>>();
    assert_eq!(done.len(), 1);
    let body = json!({
        "transition": { "id": done[0]["id"] },
        "update": { "comment": [{ "add": { "body": doc("all findings are gone") } }] },
    });
    let answer = transition(State(jira.clone()), caller(), path("SEC-1"), bytes(&body)).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let (status, made) = read_all(
        comment(State(jira.clone()), caller(), path("SEC-1"), bytes(&json!({ "body": doc("seen again") })))
            .await,
    )
    .await;
    assert_eq!((status, &made["body"]), (201, &doc("seen again")));
    let (_, page) = read_all(comments(State(jira.clone()), caller(), path("SEC-1")).await).await;
    assert_eq!((&page["total"], &page["comments"][1]["id"]), (&json!(2), &made["id"]));
    let ticket = &jira.world.received.tickets()[0];
    assert_eq!((&ticket["status"], &ticket["status_category"]), (&json!("Done"), &json!("done")));
    assert_eq!(ticket["comments"][0]["text"], "all findings are gone");
    assert_eq!(ticket["fields"]["resolution"]["name"], "Done");
    for wrong in [json!({}), json!({ "transition": { "id": "99" } })] {
        let answer = transition(State(jira.clone()), caller(), path("SEC-1"), bytes(&wrong)).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    }
    let plain = bytes(&json!({ "body": "plain" }));
    assert_eq!(
        comment(State(jira.clone()), caller(), path("SEC-1"), plain).await.status(),
        StatusCode::BAD_REQUEST
    );
    let nowhere = bytes(&json!({ "body": doc("x") }));
    assert_eq!(comment(State(jira), caller(), path("SEC-9"), nowhere).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_issue_is_edited() {
    let jira = site();
    post_issue(&jira, &new_issue("x")).await;
    jira.world.clock.set_day(1);
    let body = json!({
        "fields": { "summary": "2 of 3 left", "description": doc("shorter"), "priority": { "name": "Low" } },
        "update": { "labels": [{ "add": "kev" }, { "remove": "vulnrelay" }] },
    });
    let answer = edit(State(jira.clone()), caller(), path("SEC-1"), bytes(&body)).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let ticket = &jira.world.received.tickets()[0];
    assert_eq!((&ticket["summary"], &ticket["description"]), (&json!("2 of 3 left"), &json!("shorter")));
    assert_eq!(ticket["labels"], json!(["vh-0a1b", "kev"]));
    assert_eq!(ticket["updated"], "2026-09-02T00:00:00.000+0000");
    for wrong in [
        json!({ "fields": { "status": { "name": "Done" } } }),
        json!({ "fields": { "labels": [] }, "update": { "labels": [{ "add": "x" }] } }),
        json!({ "update": { "labels": [{ "add": "a b" }] } }),
    ] {
        let answer = edit(State(jira.clone()), caller(), path("SEC-1"), bytes(&wrong)).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn properties_are_kept_beside_the_issue() {
    let jira = site();
    post_issue(&jira, &new_issue("x")).await;
    let at = |key: &str| Path(("SEC-1".to_owned(), key.to_owned()));
    let put = |key: &str, body: Bytes| set_property(State(jira.clone()), caller(), at(key), body);
    assert_eq!(put("link", bytes(&json!({ "hash": 1 }))).await.status(), StatusCode::CREATED);
    assert_eq!(put("link", bytes(&json!({ "hash": 2 }))).await.status(), StatusCode::OK);
    assert_eq!(put("link", Bytes::new()).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(put("big", bytes(&json!("x".repeat(33_000)))).await.status(), StatusCode::BAD_REQUEST);
    let (_, kept) = read_all(property(State(jira.clone()), caller(), at("link")).await).await;
    assert_eq!(kept, json!({ "key": "link", "value": { "hash": 2 } }));
    assert_eq!(property(State(jira.clone()), caller(), at("none")).await.status(), StatusCode::NOT_FOUND);
    let (_, keys) = read_all(property_keys(State(jira.clone()), caller(), path("SEC-1")).await).await;
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_timeout_creates_the_issue_and_does_not_answer() {
    let jira = site();
    jira.world.faults.set("jira.create:timeout=60~1").unwrap();
    let body = new_issue("slow");
    let waited = tokio::time::timeout(Duration::from_millis(50), post_issue(&jira, &body)).await;
    assert!(waited.is_err());
    assert_eq!(jira.world.received.tickets().len(), 1);
    assert_eq!(post_issue(&jira, &body).await.1["key"], "SEC-2");
}

#[tokio::test]
async fn a_dropped_connection_leaves_the_issue_behind() {
    let jira = site();
    jira.world.faults.set("jira.create:drop~1").unwrap();
    let site = jira.clone();
    let lost = tokio::spawn(async move { post_issue(&site, &new_issue("lost")).await }).await;
    assert!(lost.is_err());
    assert_eq!(jira.world.received.tickets()[0]["summary"], "lost");
}

#[tokio::test]
async fn too_many_requests_are_told_when_and_why() {
    let jira = site();
    jira.world.faults.set("jira.create:ratelimit~1").unwrap();
    let answer = create(State(jira.clone()), caller(), bytes(&new_issue("x"))).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers()[header::RETRY_AFTER], "2");
    assert_eq!(answer.headers()["ratelimit-reason"], "jira-burst-based");
    assert!(jira.world.received.tickets().is_empty());
    assert_eq!(post_issue(&jira, &new_issue("x")).await.0, 201);
}

#[tokio::test]
async fn keys_are_not_used_twice_after_a_reset() {
    let jira = site();
    no_lag(&jira).await;
    post_issue(&jira, &new_issue("x")).await;
    jira.world.received.clear();
    assert_eq!(find(&jira, by_label()).await.1["issues"], json!([]));
    assert_eq!(post_issue(&jira, &new_issue("x")).await.1["key"], "SEC-2");
    assert_eq!(find(&jira, by_label()).await.1["issues"].as_array().unwrap().len(), 1);
}

/// Sends one request to a served world; the whole answer, empty if there is none.
async fn wire(address: std::net::SocketAddr, head: &str, body: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let token = STANDARD.encode(format!("{EMAIL}:{TOKEN}"));
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nhost: sim\r\nconnection: close\r\nauthorization: Basic {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn all_of_it_is_served_under_its_prefix() {
    let world = World::new(Options::new(7, 5, "2026-09-01T00:00:00Z".parse().unwrap()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(crate::serve(world.clone(), listener));
    world.faults.set("jira.create:drop~1,slack.post:truncate~1").unwrap();
    let issue = new_issue("x").to_string();
    assert_eq!(wire(address, "POST /jira/rest/api/3/issue", &issue).await, "");
    assert_eq!(world.received.tickets().len(), 1);
    assert!(wire(address, "POST /jira/rest/api/3/issue", &issue).await.starts_with("HTTP/1.1 201"));
    for (head, body, start) in [
        ("GET /jira/rest/api/3/issue/SEC-1?fields=summary", "", "HTTP/1.1 200"),
        ("PUT /jira/rest/api/3/issue/SEC-1", r#"{"fields":{"labels":["x"]}}"#, "HTTP/1.1 204"),
        ("GET /jira/rest/api/3/issue/SEC-1/transitions", "", "HTTP/1.1 200"),
        ("POST /jira/rest/api/3/issue/SEC-1/transitions", r#"{"transition":{"id":"21"}}"#, "HTTP/1.1 204"),
        ("PUT /jira/rest/api/3/issue/SEC-1/properties/a.b", r#"{"c":1}"#, "HTTP/1.1 201"),
        ("GET /jira/rest/api/3/issue/SEC-1/properties/a.b", "", "HTTP/1.1 200"),
        ("POST /jira/rest/api/3/search/jql", r#"{"jql":"project = SEC"}"#, "HTTP/1.1 200"),
        ("GET /jira/rest/api/3/search/jql?jql=project%20%3D%20SEC", "", "HTTP/1.1 200"),
        ("GET /jira/rest/api/3/search?jql=x", "", "HTTP/1.1 410"),
        ("GET /jira/rest/api/3/project/SEC", "", "HTTP/1.1 200"),
        ("POST /jira/control/lag?ms=5", "", "HTTP/1.1 200"),
        ("GET /feeds/kev.json", "", "HTTP/1.1 200"),
        ("GET /feeds/epss.csv.gz", "", "HTTP/1.1 200"),
        ("GET /feeds/exploitdb.csv", "", "HTTP/1.1 200"),
        ("GET /feeds/metasploit.json", "", "HTTP/1.1 200"),
        ("GET /feeds/nuclei.json", "", "HTTP/1.1 200"),
        ("GET /feeds/vulnrichment.tar.gz", "", "HTTP/1.1 200"),
        ("GET /feeds/nvd?startIndex=0&resultsPerPage=2000", "", "HTTP/1.1 200"),
        ("GET /feeds/nvd?resultsPerPage=2001", "", "HTTP/1.1 404"),
        ("POST /slack/services/wrong", "{}", "HTTP/1.1 404"),
        ("POST /slack/control/burst?messages=10", "", "HTTP/1.1 200"),
    ] {
        let answer = wire(address, head, body).await;
        assert!(answer.starts_with(start), "{head}: {answer}");
    }
    let hook = format!("POST /slack{}", crate::slack::webhook_path());
    assert!(!wire(address, &hook, r#"{"text":"a"}"#).await.ends_with("ok"));
    assert!(wire(address, &hook, r#"{"text":"a"}"#).await.ends_with("ok"));
    assert_eq!(world.received.messages().len(), 2);
    assert!(!format!("{}", world.received.summary()).contains(crate::slack::SECRET));
    server.abort();
}
