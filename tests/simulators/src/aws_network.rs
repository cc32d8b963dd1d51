//! EC2, Elastic Load Balancing and STS, as far as the network of an account is read: the query protocols with their XML.
//!
//! One account and region. Lists come in pages of one; whoever follows them past their end is refused, and so is whoever
//! has not assumed the role.
//!
//! | instance | reached |
//! | --- | --- |
//! | `i-web` | from the internet, through the load balancer `web` |
//! | `i-db` | by SSH: at its public address from a partner's prefix list, or, if [`Cloud::open`], from everywhere |
//! | `i-cache` | from inside: by its neighbours, and through the internal load balancer `inner` |
//! | `i-new` | not at all: it has no interface yet |
//! | `i-gone` | it is terminated |

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

/// The account.
pub const ACCOUNT: &str = "123456789012";
/// Its role.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/vulnrelay-exposure";
/// What the role wants to be told.
pub const EXTERNAL_ID: &str = "the-external-id";
/// What nobody may repeat: the keys of whoever has assumed the role.
pub const SECRETS: [&str; 2] = ["SECRET-KEY-OF-THE-ROLE", "TOKEN-OF-THE-ROLE"];

const WEB: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188";
const INNER: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/net/inner/1111111111111111";
const WEB_TARGETS: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/73e2d6bc24d8a067";
const INNER_TARGETS: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/inner/2222222222222222";
/// Key of whoever has assumed the role.
const ASSUMED: &str = "ASIAASSUMED";

/// What the account does, and what was asked of it.
#[derive(Default)]
pub struct Cloud {
    /// An action that is refused, with the code.
    pub refuses: Mutex<Option<(&'static str, &'static str)>>,
    /// Whether STS answers with something that nobody can read, keys and all.
    pub garbles: Mutex<bool>,
    /// Whether the account is the caller's own, so that no role is needed.
    pub trusts_anyone: Mutex<bool>,
    /// Whether everybody may come in by SSH.
    pub open: Mutex<bool>,
    /// Actions that were asked for.
    pub asked: Mutex<Vec<String>>,
}

/// Serves it.
pub fn router(cloud: Arc<Cloud>) -> Router {
    Router::new().fallback(answer).with_state(cloud)
}

async fn answer(
    State(cloud): State<Arc<Cloud>>,
    headers: HeaderMap,
    Form(form): Form<BTreeMap<String, String>>,
) -> Response {
    let asked = Asked { form: &form };
    let action = asked.field("Action");
    lock(&cloud.asked).push(action.to_owned());
    if let Some((refused_action, code)) = *lock(&cloud.refuses)
        && refused_action == action
    {
        return refused(action, code, "You are not authorized to perform this operation.");
    }
    let signature = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let may = match action {
        "AssumeRole" => asked.field("RoleArn") == ROLE && asked.field("ExternalId") == EXTERNAL_ID,
        _ => signature.contains(ASSUMED) || *lock(&cloud.trusts_anyone),
    };
    if !may {
        return refused(action, "AccessDenied", "This is not the role, or not whom the role trusts.");
    }
    let xml = match action {
        "AssumeRole" => Some(credentials(*lock(&cloud.garbles))),
        _ => asked.network(*lock(&cloud.open)),
    };
    match xml {
        Some(xml) => ([("content-type", "text/xml")], xml).into_response(),
        None => refused(action, "InvalidAction", "No such action, or a page past the end."),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// EC2 wraps its errors in another way than the others.
fn refused(action: &str, code: &str, message: &str) -> Response {
    let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    let is_ec2 = ["DescribeInstances", "DescribeNetworkInterfaces", "DescribeSecurityGroups"]
        .contains(&action)
        || action == "GetManagedPrefixListEntries";
    let xml = if is_ec2 {
        format!("<Response><Errors>{error}</Errors><RequestID>r</RequestID></Response>")
    } else {
        format!("<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>")
    };
    (StatusCode::FORBIDDEN, [("content-type", "text/xml")], xml).into_response()
}

fn credentials(garbled: bool) -> String {
    let [secret, token] = SECRETS;
    let until = if garbled { "soon" } else { "2099-01-01T00:00:00Z" };
    format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>{ASSUMED}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
         <SessionToken>{token}</SessionToken><Expiration>{until}</Expiration>\
         </Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
}

fn instance(id: &str, state: &str) -> String {
    format!(
        "<ownerId>{ACCOUNT}</ownerId><instancesSet><item><instanceId>{id}</instanceId>\
         <instanceState><code>16</code><name>{state}</name></instanceState></item></instancesSet>"
    )
}

/// An interface with its private and its public address, its security group, and the instance that it is attached to.
fn interface(id: &str, instance: &str, [private, public]: [&str; 2], group: &str) -> String {
    let public = match public {
        "" => String::new(),
        address => format!("<association><publicIp>{address}</publicIp></association>"),
    };
    format!(
        "<networkInterfaceId>{id}</networkInterfaceId><attachment><instanceId>{instance}</instanceId></attachment>\
         <groupSet><item><groupId>{group}</groupId></item></groupSet><privateIpAddressesSet><item>\
         <privateIpAddress>{private}</privateIpAddress>{public}</item></privateIpAddressesSet>"
    )
}

/// An interface of a load balancer.
fn balancer_interface(id: &str, balancer: &str, private: &str, group: &str) -> String {
    format!(
        "<networkInterfaceId>{id}</networkInterfaceId><description>ELB {balancer}</description>\
         <groupSet><item><groupId>{group}</groupId></item></groupSet><privateIpAddressesSet><item>\
         <privateIpAddress>{private}</privateIpAddress></item></privateIpAddressesSet>"
    )
}

fn group(name: &str, port: u16, source: &str) -> String {
    format!(
        "<groupId>sg-{name}</groupId><groupName>{name}</groupName><ipPermissions><item><ipProtocol>tcp</ipProtocol>\
         <fromPort>{port}</fromPort><toPort>{port}</toPort>{source}</item></ipPermissions>"
    )
}

fn range(network: &str) -> String {
    format!("<ipRanges><item><cidrIp>{network}</cidrIp></item></ipRanges>")
}

fn balancer(arn: &str, name: &str, kind: &str, scheme: &str) -> String {
    format!(
        "<LoadBalancerArn>{arn}</LoadBalancerArn><LoadBalancerName>{name}</LoadBalancerName><Type>{kind}</Type>\
         <Scheme>{scheme}</Scheme><IpAddressType>ipv4</IpAddressType>\
         <SecurityGroups><member>sg-{name}-lb</member></SecurityGroups>"
    )
}

fn listener(port: u16, protocol: &str, targets: &str) -> String {
    format!(
        "<Port>{port}</Port><Protocol>{protocol}</Protocol><DefaultActions><member><Type>forward</Type>\
         <TargetGroupArn>{targets}</TargetGroupArn></member></DefaultActions>"
    )
}

fn target_group(arn: &str, name: &str, port: u16, balancer: &str) -> String {
    format!(
        "<TargetGroupArn>{arn}</TargetGroupArn><TargetGroupName>{name}</TargetGroupName><Port>{port}</Port>\
         <LoadBalancerArns><member>{balancer}</member></LoadBalancerArns><TargetType>instance</TargetType>"
    )
}

/// One call.
struct Asked<'a> {
    form: &'a BTreeMap<String, String>,
}

impl Asked<'_> {
    fn field(&self, name: &str) -> &str {
        self.form.get(name).map(String::as_str).unwrap_or_default()
    }

    /// What the network looks like. `open`: to everybody, by SSH.
    fn network(&self, open: bool) -> Option<String> {
        match self.field("Action") {
            "DescribeInstances" => self.ec2(
                "reservationSet",
                &[
                    instance("i-web", "running"),
                    instance("i-db", "stopped"),
                    instance("i-cache", "running"),
                    instance("i-new", "pending"),
                    instance("i-gone", "terminated"),
                ],
            ),
            "DescribeNetworkInterfaces" => self.ec2(
                "networkInterfaceSet",
                &[
                    interface("eni-1", "i-web", ["10.0.0.5", ""], "sg-web"),
                    interface("eni-2", "i-db", ["10.0.0.6", "198.51.100.7"], "sg-db"),
                    interface("eni-3", "i-cache", ["10.0.0.7", ""], "sg-cache"),
                    balancer_interface("eni-4", "app/web/50dc6c495c0c9188", "10.0.9.9", "sg-web-lb"),
                    balancer_interface("eni-5", "net/inner/1111111111111111", "10.0.9.10", "sg-inner-lb"),
                ],
            ),
            "DescribeSecurityGroups" => {
                let partners =
                    "<prefixListIds><item><prefixListId>pl-1</prefixListId></item></prefixListIds>"
                        .to_owned();
                let from_web = "<groups><item><groupId>sg-web-lb</groupId></item></groups>";
                self.ec2(
                    "securityGroupInfo",
                    &[
                        group("web", 8443, from_web),
                        group("db", 22, &if open { range("0.0.0.0/0") } else { partners }),
                        group("cache", 6379, &range("10.0.0.0/16")),
                        group("web-lb", 443, &range("0.0.0.0/0")),
                        group("inner-lb", 6379, &range("0.0.0.0/0")),
                    ],
                )
            }
            "GetManagedPrefixListEntries" => {
                self.ec2("entrySet", &["<cidr>203.0.113.0/24</cidr>".to_owned()])
            }
            "DescribeLoadBalancers" => self.balancing(
                "LoadBalancers",
                &[
                    balancer(WEB, "web", "application", "internet-facing"),
                    balancer(INNER, "inner", "network", "internal"),
                ],
            ),
            "DescribeListeners" if self.field("LoadBalancerArn") == WEB => self.balancing(
                "Listeners",
                &[listener(443, "HTTPS", WEB_TARGETS), listener(8080, "HTTP", WEB_TARGETS)],
            ),
            "DescribeListeners" => self.balancing("Listeners", &[listener(6379, "TCP", INNER_TARGETS)]),
            "DescribeTargetGroups" => self.balancing(
                "TargetGroups",
                &[
                    target_group(INNER_TARGETS, "inner", 6379, INNER),
                    target_group(WEB_TARGETS, "web", 8443, WEB),
                ],
            ),
            "DescribeTargetHealth" => {
                let is_web = self.field("TargetGroupArn") == WEB_TARGETS;
                let (id, port) = if is_web { ("i-web", 8443) } else { ("i-cache", 6379) };
                let target = format!("<Target><Id>{id}</Id><Port>{port}</Port></Target>");
                self.balancing("TargetHealthDescriptions", &[target])
            }
            _ => None,
        }
    }

    /// The item of the page that is asked for, and the token of the next. `None`: there is no such page.
    fn page<'i>(&self, token: &str, items: &'i [String]) -> Option<(&'i str, Option<usize>)> {
        let at = self.form.get(token).map_or(Some(0), |token| token.parse::<usize>().ok())?;
        Some((items.get(at)?, Some(at + 1).filter(|next| *next < items.len())))
    }

    fn ec2(&self, set: &str, items: &[String]) -> Option<String> {
        let (item, next) = self.page("NextToken", items)?;
        let next = next.map(|at| format!("<nextToken>{at}</nextToken>")).unwrap_or_default();
        let action = self.field("Action");
        Some(format!(
            "<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId>\
             <{set}><item>{item}</item></{set}>{next}</{action}Response>"
        ))
    }

    fn balancing(&self, list: &str, items: &[String]) -> Option<String> {
        let (item, next) = self.page("Marker", items)?;
        let next = next.map(|at| format!("<NextMarker>{at}</NextMarker>")).unwrap_or_default();
        let action = self.field("Action");
        Some(format!(
            "<{action}Response xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">\
             <{action}Result><{list}><member>{item}</member></{list}>{next}</{action}Result></{action}Response>"
        ))
    }
}
